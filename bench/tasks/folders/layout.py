"""How a folder's images are sorted: by folders of splits and classes, or by a table."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import RequestError
from bench.core.names import composed
from bench.core.task import SPLITS
from bench.core.walk import Tree, walk, why_left_out
from bench.storage.class_folders import LabelledFile, class_folders
from bench.storage.image_codec import IMAGE_SUFFIXES
from bench.tasks.folders.metadata import LabelledRow, read_table, table_in
from bench.tasks.folders.splits import UNSORTED, Splits

_SPELLINGS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""How split folders are called, in lower case."""

_UNCLEAR = ("eval", "evaluation")
"""Names of val to some, of test to others."""


_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


@dataclass(frozen=True)
class Layout:
    """What a folder says of its images.

    Attributes:
        tree: Its images and tables.
        folders: Split to the name of its folder; empty without split folders.
        given: The images by split; those without one under `UNSORTED`.
        tables: The tables that name classes.
        unlabelled: The tables that do not, such as captions.
    """

    tree: Tree
    folders: dict[str, str]
    given: Splits
    tables: list[str]
    unlabelled: list[str]


def split_of(name: str) -> str:
    """Return the split that a name stands for; empty for none."""
    spelt = name.strip().lower()
    return next((split for split, names in _SPELLINGS.items() if spelt in names), "")


def called_by_splits(names: Collection[str]) -> list[str]:
    """Return the names with a split's word, as ``seg_train`` and ``test2017``, if all mean them so.

    That is if they have the words of two splits, and are half of the names at least.
    """
    words = {
        name: {word.lower().removesuffix("set") for word in _WORD.findall(name)} for name in names
    }
    splits = {name: {split for word in words[name] if (split := split_of(word))} for name in names}
    called = sorted(name for name in names if splits[name])
    several = len({split for name in called for split in splits[name]}) > 1
    return called if several and 2 * len(called) >= len(names) else []


def read_layout(root: Path, declaration: str) -> Layout:
    """Return how a folder's images are sorted. A folder with a split's name is never a class.

    Args:
        root: The folder.
        declaration: A further file that is read.

    Raises:
        RequestError: If it is not clear which split or class an image is of.
    """
    folders = _split_folders(root)
    tables = _tables(root, [""])
    if not any(tables.values()):
        tables |= _tables(root, list(folders.values()))
    tree = walk(root, IMAGE_SUFFIXES, (declaration, *tables))
    given: Splits = {}
    for table, rows in tables.items():
        for split, image in _named_images(tree, table, rows, folders):
            given.setdefault(split, []).append(image)
    labelled = {table.rpartition("/")[0] for table, rows in tables.items() if rows}
    for split, folder in (folders or {UNSORTED: ""}).items():
        if not labelled & {"", folder}:
            given[split] = _class_folders(tree, folder)
    with_labels, without = (
        [table for table, rows in tables.items() if bool(rows) == wanted]
        for wanted in (True, False)
    )
    return Layout(tree, folders, given, with_labels, without)


def shifted_images(layout: Layout, names: Collection[str]) -> Splits:
    """Return the images of the shifted splits: of folders beside the split folders.

    Raises:
        RequestError: If there are none, or one is no such folder.
    """
    root = layout.tree.root
    if names and not layout.folders:
        raise RequestError(f"{root} has shifted splits but no folder train", "sort its images")
    folders = {name for name, _ in layout.tree.folders if "/" not in name}
    for name in names:
        if name in (*SPLITS, *layout.folders.values()) or composed(name) not in folders:
            raise RequestError(
                f"{name!r} under `shifted` is no further folder in {root}",
                "give the name of a folder with CLASS/IMAGE in it",
            )
    return {name: class_folders(layout.tree, composed(name)) for name in names}


def check_lone_classes(layout: Layout, splits: Splits) -> None:
    """Make sure that no split has all of its images in one folder that is no class of train's.

    Tiny ImageNet comes so, with ``val/images`` beside ``train/CLASS/images``.

    Raises:
        RequestError: If one has.
    """
    trained = {image.class_name for image in splits["train"]}
    for split, folder in layout.folders.items():
        classes = {image.class_name for image in splits[split]}
        if len(classes) == 1 and len(trained) > 1 and not classes & trained:
            raise RequestError(
                f"all images of {layout.tree.root / folder} are of one class, {min(classes)!r}, of "
                "which train has none",
                "sort them as CLASS/IMAGE, or name their classes in metadata.csv",
            )


def too_few_classes(layout: Layout, names: Collection[str]) -> RequestError:
    """Return the error for a task of fewer than two classes."""
    root = layout.tree.root
    what = f"{root} has {len(names)} class{'' if len(names) == 1 else 'es'}"
    inner = sorted({name.partition("/")[0] for name, _ in walk(root).folders if "/" in name})
    if inner and not layout.folders:
        return RequestError(
            what, f"a task needs two; to take the folders in it: --task {root / inner[0]}"
        )
    return RequestError(
        what, "a task needs two, as CLASS/IMAGE, or as CLASS/IMAGE in train, val and test"
    )


def _split_folders(root: Path) -> dict[str, str]:
    """Return the folder of each split that has one."""
    present = sorted(path.name for path in root.iterdir() if path.is_dir())
    present = [name for name in present if not why_left_out(name)]
    if set(SPLITS) <= set(present):
        return {split: split for split in SPLITS}  # Whatever others there are is not read.
    if unclear := [name for name in present if name.lower() in _UNCLEAR]:
        raise RequestError(
            f"the folder {root / unclear[0]} may be val or test", "rename it to what it is"
        )
    folders: dict[str, str] = {}
    for name in present:
        split = split_of(name)
        if split in folders:
            raise RequestError(
                f"{root} has the folders {folders[split]} and {name}, which both mean {split}",
                "join them, or rename one",
            )
        if split:
            folders[split] = name
    return {split: folders[split] for split in SPLITS if split in folders}


def _class_folders(tree: Tree, folder: str) -> list[LabelledFile]:
    """Return the images in the class folders of a split; without one, of the whole tree."""
    images = class_folders(tree, folder)
    if not folder:
        inner = {image.name.split("/")[1] for image in images if image.name.count("/") > 1}
        classes = {image.class_name for image in images}
        if called := called_by_splits(classes):
            raise RequestError(
                f"the folders {', '.join(called[:3])} in {tree.root} are called by splits",
                "call those of splits train, val and test, with CLASS/IMAGE in them; or call "
                "classes by other words",
            )
        if len(classes) > 1 and (splits := sorted(name for name in inner if split_of(name))):
            raise RequestError(
                f"the class folders of {tree.root} have folders {', '.join(splits)} in them",
                f"move them: {splits[0]}/CLASS/IMAGE, not CLASS/{splits[0]}/IMAGE",
            )
    elif not images:
        direct = any(name.startswith(f"{folder}/") for name, _ in tree.files)
        what = "images, but no class folders" if direct else "no images"
        raise RequestError(
            f"the folder {tree.root / folder} has {what}",
            "sort them as CLASS/IMAGE, or name their classes in metadata.csv beside them "
            "(file_name,label)"
            if direct
            else "remove it, and its images are split off from the others",
        )
    return images


def _tables(root: Path, folders: list[str]) -> dict[str, list[LabelledRow]]:
    """Return the tables in some folders below a root by name, with their rows."""
    found = {folder: table for folder in folders if (table := table_in(root / folder))}
    return {
        f"{folder}/{table.name}".lstrip("/"): read_table(table) for folder, table in found.items()
    }


def _named_images(
    tree: Tree, table: str, rows: list[LabelledRow], folders: Mapping[str, str]
) -> Iterator[tuple[str, LabelledFile]]:
    """Yield the images that a table names, each with its split.

    Raises:
        RequestError: If some are not there, or it is not clear of which split one is.
    """
    images, prefix = dict(tree.files), table.rpartition("/")[0]
    named = {f"{prefix}/{row.file}".lstrip("/"): row for row in rows}
    if absent := [name for name in named if name not in images]:
        raise RequestError(
            f"{len(absent):,} of {len(named):,} files that {tree.root / table} names are no images "
            f"in its folder: {', '.join(absent[:3])}{', …' if len(absent) > 3 else ''}",
            "put them there, or remove their lines",
        )
    for name, row in named.items():
        split = _row_split(row.split, name, folders, tree.root / table)
        yield split, LabelledFile(row.class_name, name, images[name])


def _row_split(given: str, name: str, folders: Mapping[str, str], table: Path) -> str:
    """Return the split of an image in a table: the one given, else the folder's it is in."""
    if given:
        if split := split_of(given):
            return split
        raise RequestError(
            f"{table} has the split {given[:50]!r}", f"write {', '.join(SPLITS)} or leave it out"
        )
    if not folders:
        return UNSORTED
    by_folder = {folder: split for split, folder in folders.items()}
    split = by_folder.get(name.partition("/")[0], "")
    if not split:
        raise RequestError(
            f"{table} names {name}, which is in none of {', '.join(by_folder)}",
            "move it there, or give a column `split`",
        )
    return split
