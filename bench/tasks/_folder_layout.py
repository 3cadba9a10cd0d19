"""Is a folder laid out as a task, and if it is nearly, what is to be done?"""

from collections.abc import Collection, Mapping
from pathlib import Path

from bench.core.errors import RequestError
from bench.core.task import SPLITS
from bench.core.walk import walk

_SPELLINGS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval"),
}
"""Names of split folders elsewhere, in lower case."""


def has_splits(root: Path) -> bool:
    """Return whether a folder has all split folders."""
    return all((root / split).is_dir() for split in SPLITS)


def check_layout(root: Path) -> None:
    """Make sure that no split folder is taken for a class.

    A folder with a split's name is one if it holds folders, or if there are no others. A class may
    be called train: its images are directly in its folder.

    Raises:
        RequestError: If some split folders are there, but not all under the names that are read.
    """
    if has_splits(root):
        return
    depths: dict[str, int] = {}
    for name, _ in walk(root).files:
        folder, _, rest = name.partition("/")
        if rest:
            depths[folder] = max(depths.get(folder, 0), name.count("/"))
    named = {name: split for name in depths if (split := _split_of(name))}
    if not any(depths[name] > 1 for name in named) and set(named) != set(depths):
        return
    if not named:
        return
    missing = [split for split in SPLITS if split not in named]
    raise RequestError(
        f"{root} has the split folders {', '.join(sorted(named))}, but not {', '.join(missing)}",
        "; ".join(_remedy(split, named) for split in missing),
    )


def _split_of(name: str) -> str:
    """Return the split that a folder's name stands for; empty for none."""
    spelt = name.lower()
    return next((split for split, names in _SPELLINGS.items() if spelt in names), "")


def _remedy(split: str, named: Mapping[str, str]) -> str:
    same = sorted(name for name, meant in named.items() if meant == split)
    if same:
        return f"rename {same[0]} to {split}"
    return f"make {split} (move a fifth of each class of another split into {split}/CLASS)"


def too_few_classes(root: Path, names: Collection[str]) -> RequestError:
    """Return the error for a task of fewer than two classes."""
    what = f"{root} has {len(names)} class folders"
    inner = sorted({name.partition("/")[0] for name, _ in walk(root).folders if "/" in name})
    if inner and not has_splits(root):
        return RequestError(
            what, f"a task needs two; to take the folders in it: --task {root / inner[0]}"
        )
    return RequestError(
        what, "a task needs two, as CLASS/IMAGE, or as CLASS/IMAGE in each of train, val and test"
    )


def unrepresented(root: Path, name: str, split: str, count: int) -> RequestError:
    """Return the error for a class without images in a split.

    Args:
        root: The task's folder.
        name: The class.
        split: The split.
        count: Images of the class in all splits.
    """
    if has_splits(root):
        return RequestError(
            f"class {name!r} has no images in split {split} of {root}",
            "add images, or remove the class from every split",
        )
    return RequestError(
        f"of the {count} images of class {name!r} in {root} none is in the split {split}: without "
        "folders train, val and test, a hash of an image's path decides",
        "add images of the class, or sort all images into train, val and test yourself",
    )
