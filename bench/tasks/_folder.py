"""A task made of a folder of images: ``train|val|test/CLASS/IMAGE``, or just ``CLASS/IMAGE``.

Without split folders, every image goes to a split by the hash of its path: 60 % train, 20 % val,
20 % test. ``task.yaml`` in the folder may give templates, domain texts, queries and the metric, and
with ``shifted: [NAME]`` further folders ``NAME/CLASS/IMAGE`` of test images of another kind.
"""

import hashlib
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from bench.core.config import Config, parse_config
from bench.core.errors import RequestError
from bench.core.files import fingerprint
from bench.core.json_values import Json, digest
from bench.core.paths import Home
from bench.core.task import SPLITS, Queries, Split, Task
from bench.core.yaml_files import read_yaml
from bench.storage.image_codec import CODEC
from bench.tasks._folder_layout import check_layout, too_few_classes, unrepresented
from bench.tasks._image_files import read_image_file

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class _Settings(Config, frozen=True, kw_only=True):
    """The content of ``task.yaml``."""

    templates: tuple[str, ...] = ("a photo of a {}.",)
    domain_texts: tuple[str, ...] = ("a photo.",)
    queries: Queries = {}
    metric: str = "accuracy"
    shifted: tuple[str, ...] = ()


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
        file = path / "task.yaml"
        values: Json = read_yaml(file) if file.is_file() else {}
        settings = parse_config(_Settings, values, str(file))
        splits, shifted = _splits(path), _shifted(path, settings.shifted)
        names = sorted({name for images in splits.values() for name, _ in images})
        if len(names) < 2:
            raise too_few_classes(path, names)
        counts = Counter(name for images in splits.values() for name, _ in images)
        for split, images in splits.items():
            present = {name for name, _ in images}
            for name in names:
                if name not in present:
                    raise unrepresented(path, name, split, counts[name])
        for split, images in shifted.items():
            if unknown := sorted({name for name, _ in images} - set(names)):
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
                "content": fingerprint(path),
            },
            str(path),
        )

    def open_split(self, name: str, home: Home) -> Split:
        """Open one split of the folder."""
        root = Path(self.path)
        splits = _shifted(root, (name,)) if name in self.shifted else _splits(root)
        images = sorted(splits[name], key=lambda image: str(image[1]))
        files = [file for _, file in images]
        return Split(
            name,
            [file.relative_to(root).as_posix() for file in files],
            np.array([self.class_names.index(class_name) for class_name, _ in images], np.int64),
            partial(read_image_file, files),
        )


def class_folders(root: Path) -> list[tuple[str, Path]]:
    """Return (class name, image file) for every image in the class folders below a folder.

    Raises:
        RequestError: If the folder cannot be read, or a class folder has no images.
    """
    images: list[tuple[str, Path]] = []
    try:
        for folder in sorted(item for item in root.iterdir() if item.is_dir()):
            files = [item for item in folder.rglob("*") if _is_image(item)]
            if not files:
                raise RequestError(
                    f"the class folder {folder} has no images", "add some, or remove the folder"
                )
            images += [(folder.name, file) for file in sorted(files)]
    except OSError as error:
        raise RequestError(f"cannot read the folder {root}: {error.strerror}") from error
    return images


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _splits(root: Path) -> dict[str, list[tuple[str, Path]]]:
    if all((root / split).is_dir() for split in SPLITS):
        return {split: class_folders(root / split) for split in SPLITS}
    splits: dict[str, list[tuple[str, Path]]] = {split: [] for split in SPLITS}
    for name, file in class_folders(root):
        share = hashlib.sha256(file.relative_to(root).as_posix().encode()).digest()[0] / 256
        splits["train" if share < 0.6 else "val" if share < 0.8 else "test"].append((name, file))
    return splits


def _shifted(root: Path, names: tuple[str, ...]) -> dict[str, list[tuple[str, Path]]]:
    """Return the images of the shifted splits."""
    if names and not all((root / split).is_dir() for split in SPLITS):
        raise RequestError(
            f"{root} has shifted splits but no folders train, val and test", "sort its images"
        )
    for name in names:
        if name in SPLITS or Path(name).name != name or not (root / name).is_dir():
            raise RequestError(
                f"{name!r} under `shifted` is no further folder in {root}",
                "give the name of a folder with CLASS/IMAGE in it",
            )
    return {name: class_folders(root / name) for name in names}
