"""How many images each step of a source left, and what the others were lost to."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.records import RunRecord
from results.database import queries
from results.drawing.drawn import Drawn
from results.drawing.grid import across
from results.drawing.look import MUTED, Look, Style
from results.drawing.text import POINT, fit_names, fitted
from results.drawing.wanted import Wanted
from results.figures._frame import finished, styles_of
from results.labels import UNADAPTED

_SCAN = (
    "no web URL", "ambiguous, dropped", "flagged NSFW or UNSURE", "punsafe too high",
    "duplicate URLs",
)  # fmt: skip
"""What a scan drops of the captions that name a class (`sources.pool.scan`)."""

_FILTERS = ("below tau", "outside the top fraction", "filtered")
"""What rules call the images that they drop (`sources.screening.rules`)."""

_COPIES = ("copies of val or test images", "equal bytes", "near copies")
_TRAIN_COPIES = "copies of train images"

_LINE = 1.3
"""Height of a line, in font sizes."""

_BAR, _GAP = 0.8, 0.9
"""Heights of a bar and of what is between steps, in lines."""

_MOST_LINES = 4
"""Of what a step lost."""

USED = "used"


class _Arm(NamedTuple):
    """An arm, what was asked of it, and its steps."""

    label: str
    asked: str
    steps: list["Step"]


class Step(NamedTuple):
    """What a step left, and what it lost by reason; they add up to what the one before left."""

    name: str
    left: int
    lost: dict[str, int]


def draw(wanted: Wanted) -> Drawn:
    """Draw a panel per arm: a bar per step, its losses in words.

    Raises:
        RequestError: If no run used images, or its record is gone.
    """
    arms = list(_arms(wanted))
    if not arms:
        raise RequestError(
            f"{wanted.experiment.title} has no run with images whose record is there",
            "run an arm, such as --source retrieved",
        )
    look = wanted.look
    columns = across(look, len(arms), wide=wanted.wide)
    panel = (look.full if wanted.wide else look.column) / columns
    room = panel - 10 * POINT
    names = fit_names([arm.label for arm in arms], look.text, room, 1)
    colours = styles_of(queries.scaling(wanted.connection, wanted.experiment))
    with mpl.rc_context(look.settings()):
        heights = [
            (_height(arm, look, room) * _LINE * look.small + 2.5 * look.text) * POINT
            for arm in arms
        ]
        rows = [max(heights[first : first + columns]) for first in range(0, len(arms), columns)]
        figure = Figure(figsize=(panel * columns, sum(rows)), layout="constrained")
        grid = figure.add_gridspec(len(rows), columns, height_ratios=rows)
        for place, arm in enumerate(arms):
            axes = figure.add_subplot(grid[divmod(place, columns)])
            _plot(axes, arm, colours[arm.label], look, room)
            axes.set_title(names.shown[arm.label], loc="left")
    return finished(wanted, figure, _caption(), list(names.shown), names.key)


def steps(record: RunRecord) -> list[Step]:
    """Return the steps of a run's images, from its stage counts; each with all its losses.

    What counts do not explain is lost to "not accounted for".
    """
    counts, n = record.stage_counts, record.n
    parts = _parts(counts)
    found = [Step("matched", n.matched, {})]
    named = counts.get("naming a class")
    if named is not None and named >= n.matched:
        found = [
            Step("captions naming a class", named, {}),
            _step("matched", n.matched, named, {name: counts.get(name, 0) for name in _SCAN}),
        ]
    not_fetched = _summed(parts, _not_fetched)
    found.append(_step("fetched", n.fetched, n.matched, not_fetched))
    found.append(_step("kept", n.kept, n.fetched, _summed(parts, _dropped)))
    groups = counts.get("too_small_groups", {}).get("images", 0)
    rest = n.kept - n.used - groups
    lost = {"in groups too small": groups, "more than asked for": max(0, rest)}
    return [*found, _step(USED, n.used, n.kept, lost)]


def _arms(wanted: Wanted) -> Iterator[_Arm]:
    """Yield each arm with the steps of its run at the largest n, at the first seed."""
    runs = queries.selected_runs(wanted.connection, wanted.experiment)
    runs = runs[runs["label"] != UNADAPTED].sort_values(["n_used", "seed"], ascending=[False, True])
    largest = runs.drop_duplicates("label").sort_values("label")
    for label, run_id in zip(largest["label"], largest["run_id"], strict=True):
        path = wanted.home.run(run_id) / "record.json"
        if path.is_file():
            record = msgspec.json.decode(path.read_bytes(), type=RunRecord)
            asked = "all" if record.n.asked is None else f"{record.n.asked:,}"
            yield _Arm(label, f" of {asked} asked for", steps(record))


def _parts(counts: Json) -> dict[str, Json]:
    """Return the counts of a mixture's parts by name, or all of them without a name."""
    inner = {
        name: part for name, part in counts.items() if isinstance(part, dict) and "kept" in part
    }
    # Of denoised images, the inner source's counts are about other images.
    return inner if inner and "failed" not in counts else {"": counts}


def _not_fetched(counts: Json) -> dict[str, int]:
    return {**counts.get("failed", {}), "unreadable": counts.get("unreadable", 0)}


def _dropped(counts: Json) -> dict[str, int]:
    copies = counts.get("duplicates", {})
    reasons: tuple[str, ...] = _COPIES
    if "train images are removed" in str(copies.get("descriptor", "")):
        reasons = (*_COPIES, _TRAIN_COPIES)
    return {
        "not decodable": counts.get("fetched", 0)
        - counts.get("decodable", counts.get("fetched", 0)),
        **{name: counts.get(name, 0) for name in _FILTERS},
        **{name: copies.get(name, 0) for name in reasons},
    }


def _summed(parts: dict[str, Json], losses: Any) -> dict[str, int]:  # noqa: ANN401 (a function)
    total: dict[str, int] = {}
    for counts in parts.values():
        for reason, count in losses(counts).items():
            total[reason] = total.get(reason, 0) + count
    return total


def _step(name: str, left: int, before: int, lost: dict[str, int]) -> Step:
    """Return a step whose losses add up, those of none left out, the largest first."""
    known = {reason: count for reason, count in lost.items() if count}
    if rest := before - left - sum(known.values()):
        known["not accounted for"] = rest
    return Step(name, left, dict(sorted(known.items(), key=lambda each: -each[1])))


def _lost(step: Step, look: Look, room: float) -> list[str]:
    """Return what a step lost, in lines of a width in inches, without the middle of too much."""
    if not step.lost:
        return []
    reasons = [f"{count:,} {reason}" for reason, count in step.lost.items()]
    total = f"{-sum(step.lost.values()):+,}".replace("-", "\N{MINUS SIGN}")
    one = f"{total} {next(iter(step.lost))}"
    text = f"{total}: {', '.join(reasons)}" if len(reasons) > 1 else one
    return fitted(text, look.small, room, _MOST_LINES).split("\n")


def _height(arm: _Arm, look: Look, room: float) -> float:
    """Return how many lines of text a panel is high."""
    return sum(_BAR + 1 + _GAP + len(_lost(step, look, room)) for step in arm.steps)


def _plot(axes: Axes, arm: _Arm, style: Style, look: Look, room: float) -> None:
    """Plot, from above: what a step left, its bar, and what it lost."""
    y, before = 0.0, arm.steps[0].left
    for step in arm.steps:
        head = f"{step.name} {step.left:,}{arm.asked if step.name == USED else ''}"
        lines = _lost(step, look, room)
        axes.text(0, y + 1, head, fontsize=look.small, va="baseline")
        for number, line in enumerate(lines):
            below = y + 1.2 + _BAR + number + 1
            axes.text(0, below, line, fontsize=look.small, color=MUTED, va="baseline")
        bar = y + 1.3 + _BAR / 2
        axes.barh(bar, max(before, step.left), _BAR, color=style.colour, alpha=0.2)
        axes.barh(bar, step.left, _BAR, color=style.colour)
        before, y = step.left, y + 1 + _BAR + _GAP + len(lines)
    axes.set_ylim(y, 0)
    axes.set_xlim(0, max(step.left for step in arm.steps) or 1)
    axes.set(xticks=[], yticks=[])
    axes.set_axis_off()


def _caption() -> list[str]:
    return [
        "how many images each step of a source left, and what the others were lost to",
        "of the run with most images of each arm. Pale: what the step lost; the losses below each "
        "bar add up to it. Retrieval fetches all that match, so there may be more than were asked "
        "for",
    ]
