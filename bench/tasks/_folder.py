"""A task made of a folder of images: ``train|val|test/CLASS/IMAGE``, or just ``CLASS/IMAGE``.

A table may name the classes instead of folders (`bench.tasks.folders.metadata`). Splits that are
not there are cut from what is (`bench.tasks.folders.splits`). ``task.yaml`` in the folder may give
templates, domain texts, queries and the metric, and with ``shifted: [NAME]`` further folders
``NAME/CLASS/IMAGE`` of test images of another kind. One walk finds the files that are listed,
hashed and read.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from bench.core.config import Config, parse_config
from bench.core.errors import RequestError
from bench.core.files import content_hashes, fingerprint_of
from bench.core.json_values import Json, digest
from bench.core.paths import Home
from bench.core.task import SPLITS, Queries, Split, Task, check_prompts
from bench.core.walk import Tree
from bench.core.yaml_files import declaration, read_yaml
from bench.storage.image_codec import CODEC
from bench.tasks.folders.layout import (
    Layout,
    check_lone_classes,
    read_layout,
    shifted_images,
    too_few_classes,
)
from bench.tasks.folders.notes import folder_notes
from bench.tasks.folders.splits import SPLITTING, Splits, cut, to_cut
from bench.tasks.readers.image_files import read_image_file

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
    """A task whose images are in a folder."""

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
            RequestError: If it has no classes, or a split without images.
        """
        path = path.resolve()
        file = declaration(path, _DECLARATION)
        values: Json = read_yaml(file) if file else {}
        settings = parse_config(_Settings, values, str(path / _DECLARATION))
        layout = read_layout(path, _DECLARATION)
        splits, shifted = _splits(layout), shifted_images(layout, settings.shifted)
        names = sorted({image.class_name for images in splits.values() for image in images})
        if len(names) < 2:
            raise too_few_classes(layout, names)
        check_lone_classes(layout, splits)
        if empty := [name for name in SPLITS if not splits[name]]:
            raise RequestError(
                f"no image of {path} is left for the split {empty[0]}",
                "add images: a class needs three of different content to be in every split",
            )
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
                "content": _content(layout, splits | shifted),
            },
            str(path),
        )

    def notes(self) -> list[str]:
        """Return what is assumed of the folder: at most five lines."""
        layout = read_layout(Path(self.path), _DECLARATION)
        splits = _splits(layout)
        read = _read_files(layout, splits | shifted_images(layout, self.shifted))
        return folder_notes(layout, splits, self.class_names, read.note)

    def open_split(self, name: str, home: Home) -> Split:
        """Open one split of the folder."""
        layout = read_layout(Path(self.path), _DECLARATION)
        splits = shifted_images(layout, (name,)) if name in self.shifted else _splits(layout)
        images = sorted(splits[name], key=lambda image: image.name)
        label = {class_name: index for index, class_name in enumerate(self.class_names)}
        return Split(
            name,
            [image.name for image in images],
            np.array([label[image.class_name] for image in images], np.int64),
            partial(read_image_file, [image.path for image in images]),
        )


def _splits(layout: Layout) -> Splits:
    """Return the images of train, val and test."""
    source, into = to_cut(layout.given)
    if not into:
        return {name: layout.given[name] for name in SPLITS}
    images = layout.given[source]
    splits = layout.given | cut(images, _hashes(layout, source), into)
    return {name: splits[name] for name in SPLITS}


def _hashes(layout: Layout, split: str) -> Mapping[str, str]:
    return content_hashes(tuple((image.name, image.path) for image in layout.given[split]))


def _read_files(layout: Layout, splits: Splits) -> Tree:
    """Return exactly the files that are read: all on which the task depends."""
    images = {image.name for images in splits.values() for image in images}
    reason = "outside the class folders" if not layout.tables else "in no table"
    return layout.tree.only(images | {_DECLARATION, *layout.tables}, reason)


def _content(layout: Layout, splits: Splits) -> str:
    """Return the fingerprint of all that is read, and of how images without a split got one."""
    files = _read_files(layout, splits).files
    source, into = to_cut(layout.given)
    if not into:
        return fingerprint_of(files)
    hashes = _hashes(layout, source)
    others = tuple(file for file in files if file[0] not in hashes)
    return digest([SPLITTING, sorted(hashes.items()), fingerprint_of(others)])
