"""What is assumed of a folder of images, in a few lines: a user should see it before a run."""

import re
from collections.abc import Sequence

from bench.core.progress import first_few
from bench.core.task import SPLITS
from bench.tasks.folders.layout import Layout
from bench.tasks.folders.splits import Splits, to_cut

_NUMBER = re.compile(r"\d+|n\d{8}")
"""A number, or one of WordNet, by which ImageNet calls its folders."""

_CUT = {2: "80/20", 3: "60/20/20"}


def folder_notes(
    layout: Layout, splits: Splits, class_names: Sequence[str], not_read: str
) -> list[str]:
    """Return at most five lines: on splits, labels, absent classes, their names, unread files.

    Args:
        layout: What the folder says.
        splits: The images of train, val and test.
        class_names: All classes.
        not_read: The line on files that are not read; empty if all are.
    """
    root = layout.tree.root
    lines = [_on_splits(layout, splits), _on_labels(layout), _on_absent(splits, class_names)]
    return [not_read] * bool(not_read) + [
        f"{root}: {line}" for line in (*lines, on_names(class_names)) if line
    ]


def _on_splits(layout: Layout, splits: Splits) -> str:
    parts = [f"{name} is {split}" for split, name in layout.folders.items() if name != split]
    source, into = to_cut(layout.given)
    if into:
        numbers = ", ".join(f"{name} {len(splits[name]):,}" for name in into)
        what = f"{source} images".strip()
        parts.append(
            f"each class's {what} are split {_CUT[len(into)]} by content, copies together: "
            f"{numbers}"
        )
    return "; ".join(parts)


def _on_labels(layout: Layout) -> str:
    parts = [f"classes are those in {', '.join(layout.tables)}"] if layout.tables else []
    if layout.unlabelled:
        parts.append(f"{', '.join(layout.unlabelled)} has no column `label` and is not read")
    if inner := _inner_folders(layout):
        parts.append(f"folders in class folders are no classes ({first_few(inner)})")
    return "; ".join(parts)


def _inner_folders(layout: Layout) -> list[str]:
    """Return the names of the folders with images in class folders."""
    if layout.tables:
        return []
    at = 2 if layout.folders else 1
    places = (image.name.split("/") for images in layout.given.values() for image in images)
    return sorted({place[at] for place in places if len(place) > at + 1})


def _on_absent(splits: Splits, class_names: Sequence[str]) -> str:
    parts = []
    for split in SPLITS:
        present = {image.class_name for image in splits[split]}
        if absent := [name for name in class_names if name not in present]:
            parts.append(f"{split} has no image of {len(absent)} ({first_few(absent)})")
    return f"of {len(class_names)} classes, {'; '.join(parts)}" if parts else ""


def on_names(class_names: Sequence[str]) -> str:
    """Return what is doubtful about the names of classes; nothing if they are in order."""
    by_letters: dict[str, list[str]] = {}
    for name in class_names:
        by_letters.setdefault(" ".join(name.casefold().split()), []).append(name)
    parts = [
        f"the classes {', '.join(map(repr, names))} differ in capitals or blanks alone"
        for names in by_letters.values()
        if len(names) > 1
    ]
    if numbers := [name for name in class_names if _NUMBER.fullmatch(name)]:
        parts.append(f"prompts will call {len(numbers)} classes by numbers ({first_few(numbers)})")
    if joined := [name for name in class_names if "_" in name]:
        parts.append(
            f"prompts and queries keep the underscores of {len(joined)} classes "
            f"({first_few(joined)}), where captions have blanks"
        )
    return "; ".join(parts)
