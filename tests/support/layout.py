"""What is wrong with where things are on a figure."""

from collections.abc import Iterator
from itertools import combinations

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from results.drawing.look import Place

PAPER = (7_812, 15_625, 31_250, 62_500, 125_000, 250_000, 500_000, 1_000_000, 2_500_000)
"""Numbers of images as in Geng 2024."""

EVALUATORS = ("linear-probe", "zero-shot", *(f"few-shot-{n}" for n in (1, 2, 4, 8, 16)), "knn")
"""The paper's evaluators, and more than a page has room for."""

LAYOUTS: tuple[tuple[Place, bool], ...] = (
    ("paper", False), ("paper", True), ("slides", True), ("report", False),
)  # fmt: skip
"""Places, and whether a figure is as wide as the page."""

PIXEL = 1.0
"""By how much things may touch: what rounding to pixels makes of them."""


def problems(figure: Figure, smallest: float = 6.0) -> list[str]:
    """Return what is outside the canvas, which texts overlap, and which are too small.

    Args:
        figure: What was drawn.
        smallest: The least size of text, in points.
    """
    figure.draw_without_rendering()
    return [*_outside(figure), *_overlapping(figure), *_too_small(figure, smallest)]


def texts(figure: Figure) -> list[Text]:
    """Return the texts that are seen."""
    found = figure.findobj(Text)
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def words(figure: Figure) -> str:
    """Return all that is written, a space for every break of a line."""
    return " ".join(" ".join(text.get_text() for text in texts(figure)).split())


def _outside(figure: Figure) -> Iterator[str]:
    canvas = figure.bbox.padded(PIXEL)
    for artist in figure.findobj(include_self=False):
        box = artist.get_tightbbox() if artist.get_visible() else None
        if box is not None and box.width > 0 and not _holds(canvas, box):
            yield f"{artist} is outside: {box}"


def _overlapping(figure: Figure) -> Iterator[str]:
    boxes = [(text.get_text(), text.get_window_extent().padded(-PIXEL)) for text in texts(figure)]
    for (one, its), (other, others) in combinations(boxes, 2):
        if its.overlaps(others):
            yield f"{one!r} overlaps {other!r}"


def _too_small(figure: Figure, smallest: float) -> Iterator[str]:
    for text in texts(figure):
        if float(text.get_fontsize()) < smallest:
            yield f"{text.get_text()!r} has {text.get_fontsize()} points"


def _holds(outer: Bbox, inner: Bbox) -> bool:
    return bool(
        outer.x0 <= inner.x0
        and inner.x1 <= outer.x1
        and outer.y0 <= inner.y0
        and inner.y1 <= outer.y1
    )
