"""Images of one class: real ones, generated ones, retrieved ones (as Geng 2024, figure 3)."""

from __future__ import annotations

from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure
from PIL import Image

from bench.core.errors import BenchError, RequestError, unknown_name
from bench.core.names import composed
from bench.storage.image_set import ImageSet, read_image
from bench.tasks import find_task
from results.database import queries
from results.drawing.drawn import Drawn
from results.drawing.look import MUTED, Look
from results.drawing.text import POINT, fitted, height
from results.drawing.wanted import Wanted
from results.figures._frame import finished
from results.wording import listed

_ORDER = ("real", "synthetic", "denoised", "retrieved")
_GENERATED = ("synthetic", "denoised")
_REAL = "real"

_PIXELS = 256
"""The longer side of an image in a figure at most: 0.6 inches at 300 dots an inch."""


_SMALLEST = 2.5
"""A side of an image, in sizes of the font: its row's name stands beside it."""

_PAD = 1.5 * POINT


class _Row(NamedTuple):
    """An arm's images of the class."""

    label: str
    images: list[Image.Image]


def draw(wanted: Wanted) -> Drawn:
    """Draw a row per arm, a column per image.

    Raises:
        RequestError: If there is no such class, nothing has images of it here, or so many would be
            too small to see.
    """
    _check_room(wanted)
    sets = _image_sets(wanted)
    if not sets:
        raise RequestError(
            f"{wanted.experiment.title}: no image set of its runs is in this home",
            "draw it where the images are, with BENCH_HOME",
        )
    name = _class_name(wanted.class_name, [images.manifest.counts for images in sets.values()])
    real, why = _real(name, wanted)
    rows = [*real, *(_row(label, images, name, wanted) for label, images in sets.items())]
    rows = [row for row in rows if row.images]
    if not rows:
        raise RequestError(
            f"{wanted.experiment.title}: there are no images of {name!r}", "give another --class"
        )
    with mpl.rc_context(wanted.look.settings()):
        figure = _figure(rows, name, wanted)
    return finished(wanted, figure, _caption(rows, name, why), [name, *(row.label for row in rows)])


def _check_room(wanted: Wanted) -> None:
    """Raise RequestError if so many images side by side would be too small to see."""
    look = wanted.look
    most = int((_width(wanted) - _left(look)) / (_SMALLEST * look.small * POINT))
    if wanted.images > most:
        raise RequestError(
            f"{wanted.images} images in a row would be too small to see",
            f"give --images {most} at most" + ("" if wanted.wide else ", or --wide"),
        )


def _width(wanted: Wanted) -> float:
    return wanted.look.full if wanted.wide else wanted.look.column


def _left(look: Look) -> float:
    """Return the room that names of rows take, in inches."""
    return height("", look.small) * 2 + _PAD


def _image_sets(wanted: Wanted) -> dict[str, ImageSet]:
    """Return the image set of each arm that is in this home, in the order of rows."""
    used = queries.image_sets(wanted.connection, wanted.experiment)
    here = {}
    for path in sorted(wanted.home.data.glob("images-*/manifest.json")):
        try:
            images = ImageSet.open(path.parent, wanted.home.data)
        except BenchError:
            continue  # The run that needs it will say so.
        here[images.manifest.content] = images
    # Mixtures are made of the others' images; real ones are shown from the task.
    found = [
        (label, source, here[content])
        for label, source, content in used.sort_values(["label", "image_set"]).itertuples(
            index=False
        )
        if content in here and source not in ("mixed", _REAL)
    ]
    rank = {source: place for place, source in enumerate(_ORDER)}
    found.sort(key=lambda each: (rank.get(each[1], len(_ORDER)), each[0]))
    largest: dict[str, ImageSet] = {}
    for label, _, images in found:
        if label not in largest or len(images) > len(largest[label]):
            largest[label] = images
    return largest


def _class_name(wanted: str, counts: list[dict[str, int]]) -> str:
    """Return the class asked for, else the first that most sets have images of."""
    names = list(dict.fromkeys(name for of_set in counts for name in of_set))
    if wanted and composed(wanted) not in names:
        raise unknown_name("class", wanted, names)
    having = {name: sum(of_set.get(name, 0) > 0 for of_set in counts) for name in names}
    return composed(wanted) if wanted else max(names, key=having.__getitem__)


def _real(name: str, wanted: Wanted) -> tuple[list[_Row], str]:
    """Return the row of real images, or none and why; results may be read where no task is."""
    try:
        task = find_task(queries.task_place(wanted.connection, wanted.experiment.task))
        split = task.at(wanted.home).split("train", wanted.home)
    except RequestError as error:
        return [], f"Real images are not shown: {error.what}."
    if task.multi_label:
        return [], "Real images are not shown: they have several classes each."
    places = np.flatnonzero(split.labels == task.label(name)).tolist()
    first = sorted(places, key=lambda place: split.keys[place])[: wanted.images]
    return [_Row(_REAL, [_small(split.read(place)) for place in first])], ""


def _row(label: str, images: ImageSet, name: str, wanted: Wanted) -> _Row:
    """Return the first images of a class in the order in which seed 0 takes them."""
    if not images.manifest.counts.get(name):
        return _Row(label, [])
    some = images.select(None, 0, "random").filter(pl.col("class_name") == name)
    some = some.head(wanted.images).select("shard", "offset", "size", "sha256")
    read = (read_image(images.data, *place) for place in some.iter_rows())
    return _Row(label, [_small(image) for image in read])


def _small(image: Image.Image) -> Image.Image:
    """Return an image in RGB, reduced to what a figure shows."""
    image = image.convert("RGB")
    image.thumbnail((_PIXELS, _PIXELS), Image.Resampling.LANCZOS)
    return image


def _figure(rows: list[_Row], name: str, wanted: Wanted) -> Figure:
    look, width = wanted.look, _width(wanted)
    columns = max(len(row.images) for row in rows)
    title = fitted(name, look.text, width - 4 * _PAD, 2)
    top, left = height(title, look.text) + 2 * _PAD, _left(look)
    side = (width - left) / columns
    total = top + len(rows) * side
    figure = Figure(figsize=(width, total))
    figure.text(
        left / width, 1 - top / 2 / total, title, fontsize=look.text, va="center", ha="left"
    )
    for down, row in enumerate(rows):
        base = total - top - (down + 1) * side
        label = fitted(row.label, look.small, side - 2 * _PAD, 2)
        figure.text(
            left / 2 / width, (base + side / 2) / total, label, rotation=90, ha="center",
            va="center", multialignment="center", fontsize=look.small, color=MUTED,
        )  # fmt: skip
        for place, image in enumerate(row.images):
            inner = side - 2 * _PAD
            box = (left + place * side) / width, (base + _PAD) / total, inner / width, inner / total
            axes = figure.add_axes(box)
            axes.imshow(np.asarray(image))
            axes.set(xticks=[], yticks=[])
            axes.set_axis_off()
    return figure


def _caption(rows: list[_Row], name: str, why: str) -> list[str]:
    labels = listed([row.label for row in rows])
    shown = max(len(row.images) for row in rows)
    return [
        f"images of the class {name}: {labels}, from top to bottom, {shown} of each at most",
        "real images are the first of the train split by name; of the others, the first that seed "
        "0 takes. Nobody chose among them. Retrieved and generated images are labelled by what "
        "they were asked for, which they need not show",
        *([why] if why else []),
    ]
