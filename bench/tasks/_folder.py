"""A task made of a folder of images: ``train|val|test/CLASS/IMAGE``, or just ``CLASS/IMAGE``.

Without split folders, every image goes to a split by the hash of its path: 60 % train, 20 % val,
20 % test. ``task.yaml`` in the folder may give templates, domain texts, queries and the metric, and
with ``shifted: [NAME]`` further folders ``NAME/CLASS/IMAGE`` of test images of another kind. One
walk finds the files that are listed, hashed and read.
"""

import hashlib
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from bench.core.config import Config, parse_config
from bench.core.errors import RequestError
from bench.core.files import fingerprint_of
from bench.core.json_values import Json, digest
from bench.core.names import composed
from bench.core.paths import Home
from bench.core.task import SPLITS, Queries, Split, Task, check_prompts
from bench.core.walk import Tree, walk
from bench.core.yaml_files import declaration, read_yaml
from bench.storage.class_folders import LabelledFile, class_folders
from bench.storage.image_codec import CODEC, IMAGE_SUFFIXES
from bench.tasks._folder_layout import check_layout, too_few_classes, unrepresented
from bench.tasks._image_files import read_image_file

_DECLARATION = "task.yaml"


class _Settings(Config, frozen=True, kw_only=True):
    """The content of ``task.yaml``."""

    templates: tuple[str, ...] = ("a photo of a {}.",)
    domain_texts: tuple[str, ...] = ("a photo.",)
    queries: Queries = {}
    metric: str = "accuracy"
    shifted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_prompts(self.templates, self.domain_texts, self.queries)


class FolderTask(Task, frozen=True, kw_only=True):
    """A task whose images are in class folders."""

    path: str
    content: str
    """Fingerprint of the folder: other images of the same name are another task."""

    @property
    def fingerprint(self) -> str:
        """Identity of the names, the prompts and the images as they are decoded."""
        return f"{self.name}@{digest([self.content, CODEC])}"

    @classmethod
    def load(cls, path: Path) -> "FolderTask":
        """Return the task in a folder.

        Raises:
            RequestError: If it has no classes, or a class or a split without images.
        """
        path = path.resolve()
        check_layout(path)
        file = declaration(path, _DECLARATION)
        values: Json = read_yaml(file) if file else {}
        settings = parse_config(_Settings, values, str(path / _DECLARATION))
        tree = _tree(path)
        splits, shifted = _splits(tree), _shifted(tree, settings.shifted)
        names = sorted({image.class_name for images in splits.values() for image in images})
        if len(names) < 2:
            raise too_few_classes(path, names)
        counts = Counter(image.class_name for images in splits.values() for image in images)
        for split, images in splits.items():
            present = {image.class_name for image in images}
            for name in names:
                if name not in present:
                    raise unrepresented(path, name, split, counts[name])
        for split, images in shifted.items():
            if unknown := sorted({image.class_name for image in images} - set(names)):
                raise RequestError(
                    f"{path / split} has a class {unknown[0]!r} that the task has not",
                    "remove the folder, or add the class to train, val and test",
                )
        fields = [field for field in settings.__struct_fields__ if field != "shifted"]
        return parse_config(
            cls,
            {
                **{field: getattr(settings, field) for field in fields},
                "name": path.name,
                "version": 1,
                "class_names": tuple(names),
                "split_sizes": {name: len(images) for name, images in (splits | shifted).items()},
                "path": str(path),
                "content": fingerprint_of(_read_files(tree, splits | shifted).files),
            },
            str(path),
        )

    def notes(self) -> list[str]:
        """Return which files of the folder are not read, and which class names are nearly equal."""
        tree = _tree(Path(self.path))
        read = _read_files(tree, _splits(tree) | _shifted(tree, self.shifted))
        by_letters: dict[str, list[str]] = {}
        for name in self.class_names:
            by_letters.setdefault(" ".join(name.casefold().split()), []).append(name)
        near = [
            f"{self.path}: the classes {', '.join(map(repr, names))} differ in capitals or blanks "
            "alone"
            for names in by_letters.values()
            if len(names) > 1
        ]
        return [*filter(None, [read.note]), *near]

    def open_split(self, name: str, home: Home) -> Split:
        """Open one split of the folder."""
        tree = _tree(Path(self.path))
        splits = _shifted(tree, (name,)) if name in self.shifted else _splits(tree)
        images = sorted(splits[name], key=lambda image: image.name)
        return Split(
            name,
            [image.name for image in images],
            np.array([self.class_names.index(image.class_name) for image in images], np.int64),
            partial(read_image_file, [image.path for image in images]),
        )


Splits = dict[str, list[LabelledFile]]
"""Name of a split to its images."""


def _tree(root: Path) -> Tree:
    """Return the images and the declaration below a folder."""
    return walk(root, IMAGE_SUFFIXES, (_DECLARATION,))


def _read_files(tree: Tree, splits: Splits) -> Tree:
    """Return exactly the files that are read: all on which the task depends."""
    images = {image.name for images in splits.values() for image in images}
    return tree.only(images | {_DECLARATION}, "outside the class folders")


def _has_splits(tree: Tree) -> bool:
    return set(SPLITS) <= {name for name, _ in tree.folders}


def _splits(tree: Tree) -> Splits:
    if _has_splits(tree):
        return {split: class_folders(tree, split) for split in SPLITS}
    splits: Splits = {split: [] for split in SPLITS}
    for image in class_folders(tree):
        share = hashlib.sha256(image.name.encode()).digest()[0] / 256
        splits["train" if share < 0.6 else "val" if share < 0.8 else "test"].append(image)
    return splits


def _shifted(tree: Tree, names: tuple[str, ...]) -> Splits:
    """Return the images of the shifted splits."""
    if names and not _has_splits(tree):
        raise RequestError(
            f"{tree.root} has shifted splits but no folders train, val and test", "sort its images"
        )
    folders = {name for name, _ in tree.folders if "/" not in name}
    for name in names:
        if name in SPLITS or composed(name) not in folders:
            raise RequestError(
                f"{name!r} under `shifted` is no further folder in {tree.root}",
                "give the name of a folder with CLASS/IMAGE in it",
            )
    return {name: class_folders(tree, composed(name)) for name in names}
