"""Look at every image of a task: how many there are, which are copies, which cannot be read."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl
from PIL.Image import Image

from bench.core.arrays import LabelArray
from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.progress import Bar, Progress
from bench.core.task import SPLITS, Split, Task
from bench.runtime.ahead import ahead
from sources.screening.dedup import COPY_DISTANCE
from sources.screening.hamming import nearest
from sources.screening.phash import (
    HASH_WORDS,
    LEAST_SIDE,
    coefficients,
    grid,
    hash_words,
    pixel_hash,
    signs,
    structured,
)

FEW = 5
"""A class with fewer images in train or in test is said: one image moves its accuracy by 20 % and
more."""

_AHEAD = 256
_OF = "_of"

_SCHEMA = {
    **{"split": pl.String, "key": pl.String, "class_name": pl.String, "fault": pl.String},
    **{"width": pl.Int64, "height": pl.Int64, "pixels": pl.String},
    **dict.fromkeys(HASH_WORDS, pl.Int64),
}


class Copy(NamedTuple):
    """An image that is in an earlier split, too.

    Attributes:
        split: Its split.
        image: Its key.
        class_name: Its class.
        of_split: The other's split.
        of: The other's key.
        of_class: The other's class.
        distance: Differing bits of the perceptual hash, of 256; None if the pixels are equal.
    """

    split: str
    image: str
    class_name: str
    of_split: str
    of: str
    of_class: str
    distance: int | None


class TaskReport(msgspec.Struct, frozen=True):
    """What was seen of a task.

    Attributes:
        task: Its name.
        fingerprint: Its identity.
        splits: Images per split.
        classes: Class to its images per split.
        shortest_side: Smallest, median and largest shortest side of an image, in pixels.
        notes: What was assumed.
        unreadable: Why images cannot be read, a line each.
        copies: Images that are in an earlier split, too, by their pixels or their look.
        contradictions: Images of equal pixels in several classes, by key.
        warnings: What a user should look at, a line each.
    """

    task: str
    fingerprint: str
    splits: dict[str, int]
    classes: dict[str, dict[str, int]]
    shortest_side: list[int]
    notes: list[str]
    unreadable: list[str]
    copies: list[Json]
    contradictions: list[list[str]]
    warnings: list[str]


def inspect_task(task: Task, home: Home, progress: Progress) -> TaskReport:
    """Return what is seen of a task's images, each of which is decoded once.

    Args:
        task: The task as it is read in the home, where its data is.
        home: The home.
        progress: Where to report.

    Raises:
        RequestError: If the data is not the task's.
    """
    splits = [task.split(name, home) for name in (*SPLITS, *task.shifted)]
    with progress.bar(f"look at {task.name}", sum(map(len, splits)), "image") as bar:
        rows = pl.DataFrame(
            [row for split in splits for row in _seen(split, task.class_names, bar)],
            _SCHEMA,
            orient="row",
        )
    counts = {
        name: {split.name: len(images_of(split, label)) for split in splits}
        for label, name in enumerate(task.class_names)
    }
    readable = rows.filter(pl.col("fault").is_null())
    sides = readable.select(pl.min_horizontal("width", "height")).to_series()
    copies = _copies(readable, [split.name for split in splits])
    several = _contradictions(readable)
    unreadable = rows["fault"].drop_nulls().to_list()
    return TaskReport(
        task.name,
        task.fingerprint,
        {split.name: len(split) for split in splits},
        counts,
        [int(side) for side in np.quantile(sides, (0, 0.5, 1))] if len(sides) else [],
        task.notes(),
        unreadable,
        [copy._asdict() for copy in copies],
        several,
        _warnings(counts, unreadable, copies, several),
    )


def images_of(split: Split, label: int) -> LabelArray:
    """Return the rows of a split's images that have a class."""
    has = split.labels == label if split.targets is None else split.targets[:, label]
    return np.flatnonzero(has)


def _seen(split: Split, names: Sequence[str], bar: Bar) -> Iterator[tuple[Any, ...]]:
    """Yield a row of `_SCHEMA` for every image of a split, in order."""
    targets = split.targets

    def seen(row: int) -> tuple[Any, ...]:
        labels = split.labels[row : row + 1] if targets is None else np.flatnonzero(targets[row])
        start = (split.name, split.keys[row], ", ".join(names[at] for at in labels.tolist()))
        try:
            image = split.read(row)
        except RequestError as error:
            return (*start, error.what, *[None] * (3 + len(HASH_WORDS)))
        except (OSError, ValueError) as error:  # A plug-in's task may read in its own way.
            return (*start, f"{start[1]}: {error}", *[None] * (3 + len(HASH_WORDS)))
        return (*start, None, *image.size, pixel_hash(image), *_look(image))

    for row in ahead(seen, range(len(split)), _AHEAD):
        bar.advance()
        yield row


def _look(image: Image) -> list[int | None]:
    """Return the perceptual hash of an image; nulls for one that is too small or too plain."""
    if min(image.size) >= LEAST_SIDE:
        frequencies = coefficients(grid(image.convert("L")))
        if structured(frequencies):
            words: list[int | None] = signs(frequencies).view(np.int64).tolist()
            return words
    return [None] * len(HASH_WORDS)


def _copies(rows: pl.DataFrame, splits: Sequence[str]) -> list[Copy]:
    """Return the images of each split that an earlier one has: the nearest is named."""
    copies: list[Copy] = []
    for index, split in enumerate(splits):
        here = rows.filter(split=split)
        earlier = rows.filter(pl.col("split").is_in(splits[:index]))
        first = earlier.unique("pixels", keep="first", maintain_order=True)
        equal = here.join(first, on="pixels", suffix=_OF, maintain_order="left")
        rest = here.join(equal, on="key", how="anti", maintain_order="left").drop_nulls(HASH_WORDS)
        looks = earlier.drop_nulls(HASH_WORDS)
        places, apart = nearest(hash_words(rest), hash_words(looks), COPY_DISTANCE)
        near = places >= 0
        others = looks[places[near]].rename({name: f"{name}{_OF}" for name in looks.columns})
        alike = rest.filter(near).hstack(others).with_columns(distance=pl.Series(apart[near]))
        for found in (equal.with_columns(distance=pl.lit(None)), alike):
            copies += [_copy(one) for one in found.iter_rows(named=True)]
    return copies


def _copy(row: Json) -> Copy:
    ends = [f"{name}{end}" for end in ("", _OF) for name in ("split", "key", "class_name")]
    return Copy(*(row[name] for name in (*ends, "distance")))


def _contradictions(rows: pl.DataFrame) -> list[list[str]]:
    """Return the keys of images of equal pixels in several classes, a list for each image."""
    several = rows.group_by("pixels", maintain_order=True).agg("key", pl.n_unique("class_name"))
    keys: list[list[str]] = several.filter(pl.col("class_name") > 1)["key"].to_list()
    return keys


def _warnings(
    counts: dict[str, dict[str, int]],
    unreadable: Sequence[str],
    copies: Sequence[Copy],
    contradictions: Sequence[Sequence[str]],
) -> list[str]:
    equal = [f"{copy.image} ({copy.of})" for copy in copies if copy.distance is None]
    alike = [f"{copy.image} ({copy.of})" for copy in copies if copy.distance is not None]
    found = {
        "images that cannot be read": list(unreadable),
        "images that equal one of an earlier split": equal,
        "images that look like one of an earlier split": alike,
        "images in several classes": [" = ".join(keys) for keys in contradictions],
    }
    for split in ("train", "test"):
        small = [name for name, numbers in counts.items() if numbers[split] < FEW]
        found[f"classes with fewer than {FEW} images in {split}"] = small
    return [
        f"{what}: {len(some):,} ({', '.join(some[:3])}{', …' if len(some) > 3 else ''})"
        for what, some in found.items()
        if some
    ]
