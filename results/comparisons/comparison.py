"""A comparison of two things, and how it is shown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.core.json_values import canonical_json
from bench.core.size import format_size
from bench.planning.differences import differing
from results.digits import decimals
from results.statistics.paired import Estimate
from results.tables.sheet import Kind, Sheet
from results.wording import covered, measure, metric_name, p_values

_IMAGES_ALONE = "†"


@dataclass(frozen=True)
class Row:
    """The scores of both by one evaluator, and what is known of their difference.

    Attributes:
        evaluator: Its label.
        metric: What it measures.
        n: Images used by the first, and by the second where it is another number.
        scores: Mean scores of both, in shares.
        seeds: Seeds of both.
        difference: The first less the second on the same test images; None without predictions.
        p_holm: Its p-value, Holm-corrected.
        mcnemar: McNemar's exact p-values, from least to greatest over seeds; not corrected.
    """

    evaluator: str
    metric: str
    n: list[int]
    scores: tuple[float, float]
    seeds: tuple[int, int]
    difference: Estimate | None
    p_holm: float | None
    mcnemar: list[float]


@dataclass(frozen=True)
class Comparison:
    """Two arms of an experiment, or two runs.

    Attributes:
        title: What they are of.
        names: What both are called.
        rows: Their scores.
        family: Of what Holm's correction is.
        sentences: What else follows, such as the data-equivalence ratio.
        options: Name, and the values of both, of every option in which they differ.
    """

    title: str
    names: tuple[str, str]
    rows: list[Row]
    family: str
    sentences: list[str]
    options: list[tuple[str, str, str]]


def options(
    a: Sequence[Mapping[str, object]], b: Sequence[Mapping[str, object]]
) -> list[tuple[str, str, str]]:
    """Return the options in which two sides differ, each of one run or of several.

    Args:
        a: The settings of each run of one side, by name.
        b: Those of the other's.
    """
    sides = [_values(a), _values(b)]
    return [
        (name, *(" or ".join(side.get(name, ["-"])) for side in sides))  # type: ignore[misc]
        for name in differing(sides)
    ]


def sheets(comparison: Comparison) -> Iterator[Sheet]:
    """Yield the tables of a comparison: the scores, then the options."""
    a, b = comparison.names
    known = [row.difference for row in comparison.rows if row.difference]
    digits = decimals(50 * (one.high - one.low) for one in known)
    columns: list[tuple[str, Kind]] = [
        ("evaluator", "text"), ("n", "right"), ("seeds", "right"), (f"{a} %", "number"),
        (f"{b} %", "number"), ("points", "number"), ("95 % interval", "right"), ("p", "number"),
        ("Holm's p", "number"), ("McNemar's p", "number"),
    ]  # fmt: skip
    mixed = len({one.over_seeds for one in known}) > 1
    metrics = {row.metric for row in comparison.rows}
    rows = [
        [row.evaluator if len(metrics) == 1 else measure(row.evaluator, row.metric), *cells]
        for row in comparison.rows
        for cells in [_cells(row, digits, mixed=mixed)]
    ]
    of = f", {metric_name(metrics.pop())}" if len(metrics) == 1 else ""
    sheet = Sheet.of(f"{comparison.title}{of}: {a} less {b}", columns, rows)
    yield sheet._replace(note="\n".join([*_notes(known, comparison.family), *comparison.sentences]))
    heads: list[tuple[str, Kind]] = [("option", "prose"), (a, "prose"), (b, "prose")]
    if comparison.options:
        yield Sheet.of("Options that differ", heads, comparison.options)


def _values(settings: Sequence[Mapping[str, object]]) -> dict[str, list[str]]:
    """Return the values that each option has, as text."""
    values: dict[str, list[str]] = {}
    for one in settings:
        for name, value in one.items():
            text = value if isinstance(value, str) else canonical_json(value).decode()
            if text not in values.setdefault(name, []):
                values[name].append(text)
    return values


def _cells(row: Row, digits: int, *, mixed: bool) -> Iterator[str]:
    yield " and ".join(map(format_size, dict.fromkeys(row.n)))
    yield " and ".join(map(str, dict.fromkeys(row.seeds)))
    for score in row.scores:
        yield f"{100 * score:.{digits}f}"
    difference = row.difference
    if difference is None or row.p_holm is None:
        yield from [""] * 5
        return
    low, high = (f"{100 * end + 0.0:+.{digits}f}" for end in (difference.low, difference.high))
    yield f"{100 * difference.value + 0.0:+.{digits}f}"
    yield f"{low} to {high}{'' if difference.over_seeds or not mixed else _IMAGES_ALONE}"
    yield p_values([difference.p])
    yield p_values([row.p_holm])
    yield p_values(row.mcnemar) if row.mcnemar else ""


def _notes(known: Sequence[Estimate], family: str) -> Iterator[str]:
    """Yield what the numbers are."""
    if not known:
        yield "No predictions on the same test images, so differences have no interval."
        return
    over = covered(over_seeds=any(one.over_seeds for one in known))
    if len({one.over_seeds for one in known}) > 1:
        over += f"; those with {_IMAGES_ALONE} over test images alone"
    yield (
        f"Intervals and p are over {over}. Holm's p is corrected for {family}. McNemar's exact "
        "test compares single runs, and is not corrected."
    )
