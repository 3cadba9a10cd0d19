"""Objectives on the same images as a table: a row an objective, a column what tells it apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from bench.core.size import format_size
from results.digits import decimals
from results.fidelity import MINIATURE
from results.objectives import BASELINE, Objectives, Row
from results.tables.scores import SCORES, covered_by
from results.tables.sheet import Kind, Sheet, label
from results.wording import minus, p_values

if TYPE_CHECKING:
    from collections.abc import Hashable

_COLUMNS: list[tuple[str, Kind]] = [
    ("objective", "text"), ("options", "prose"), ("positives", "text"), ("images", "prose"),
    ("n", "right"), ("captions", "right"), ("seeds", "right"), ("%", "number"), ("±", "number"),
    ("95 % interval", "right"), ("best trained", "number"), ("less", "text"), ("Δ", "number"),
    ("95 % interval of Δ", "right"), ("p", "number"),
]  # fmt: skip

_SCORES: list[tuple[str, Kind]] = [
    ("objective", "text"), ("positives", "text"), ("images", "text"), *_COLUMNS[6:11]
]  # fmt: skip
_DIFFERENCES: list[tuple[str, Kind]] = [
    ("objective", "text"), ("images", "text"), *_COLUMNS[11:]
]  # fmt: skip

_ACROSS = 10
"""Columns without long names that a page has room for."""

_OTHER_IMAGES = " on other images"
"""Behind the name of a reference that learned from other images than its row."""


def numbers(tables: Iterable[Objectives]) -> pd.DataFrame:
    """Return every objective's scores and differences as plain numbers, in shares."""
    rows = [
        {
            **table.experiment._asdict(),
            "objective": row.objective,
            "positives": row.positives,
            "captions_min": row.captions[0] if row.captions else None,
            "captions_max": row.captions[1] if row.captions else None,
            "unchanged": row.unchanged,
            "image_sets": " ".join(sorted(set(row.images.sets.values()))),
            **{name: row.score[name] for name in _OF_SCORE},
            **_less(row),
        }
        for table in tables
        for row in table.rows
    ]
    return pd.DataFrame(rows)


_OF_SCORE = (
    *("source", "label", "n_asked", "n_used", "n_used_min", "n_used_max"),
    *("evaluator", "metric", "seeds", "mean", "seed_std", "test_low", "test_high"),
    "trained_mean",
    *("select_by", "setting"),
)


def _less(row: Row) -> dict[Hashable, object]:
    """Return the difference of a row as columns."""
    values: dict[Hashable, object] = dict.fromkeys(
        ("difference", "ci_low", "ci_high", "p", "p_holm", "over_seeds")
    )
    if row.difference:
        one = row.difference.estimate
        values |= {"difference": one.value, "ci_low": one.low, "ci_high": one.high, "p": one.p}
        values |= {"p_holm": row.difference.p_holm, "over_seeds": one.over_seeds}
    return {"less": row.reference, "less_on_same_images": row.same_images, **values}


def sheet(table: Objectives) -> Sheet:
    """Return objectives as a table; what all rows share is said in its note."""
    shown = Sheet.of(table.title, _COLUMNS, _rows(table))
    return shown._replace(
        note=" ".join([*_on_images(table), *_on_scores(table), *_on_differences(table)]),
        label=label(*table.experiment, table.evaluator, "objectives"),
    )


def narrow(table: Objectives) -> Iterator[Sheet]:
    """Yield objectives as tables for paper: differences have their own where one is too wide."""
    shown = sheet(table)
    if len(shown.head) <= _ACROSS and "prose" not in shown.kinds:
        yield shown
        return
    rows = [
        [" ".join(filter(None, row[:2])), row[2], _together(*row[3:6]), *row[6:]]
        for row in _rows(table)
    ]
    scores = Sheet.of(table.title, _SCORES, [row[:8] for row in rows])
    yield scores._replace(
        note=" ".join([*_on_images(table), *_on_scores(table)]), label=shown.label
    )
    compared = [[row[0], row[2], *row[8:]] for row in rows if row[8]]
    if compared:
        differences = Sheet.of(f"{table.title}, differences", _DIFFERENCES, compared)
        note = " ".join(_on_differences(table))
        yield differences._replace(note=note, label=f"{shown.label}-differences")


def _rows(table: Objectives) -> list[list[str]]:
    half_widths = [50 * (row.score["test_high"] - row.score["test_low"]) for row in table.rows]
    digits = decimals(half_widths)
    known = [row.difference.estimate for row in table.rows if row.difference]
    of_delta = decimals(50 * (one.high - one.low) for one in known)
    mixed = len({one.over_seeds for one in known}) > 1
    return [
        [*_what(row, alike=table.alike), *_score(row, digits), *_delta(row, of_delta, mixed=mixed)]
        for row in table.rows
    ]


def _what(row: Row, *, alike: bool) -> Iterator[str]:
    name, _, options = row.objective.partition(" ")
    yield name or "unadapted"
    yield options
    yield row.positives
    yield from [""] * 3 if alike or not row.adapted else _of_images(row)


def _of_images(row: Row) -> tuple[str, str, str]:
    captions = _range(row.captions) if row.captions else ""
    return row.images.label, _range(row.n), captions


def _range(ends: Sequence[int]) -> str:
    return " to ".join(map(format_size, dict.fromkeys(ends)))


def _score(row: Row, digits: int) -> Iterator[str]:
    score = row.score
    yield str(score["seeds"])
    yield f"{100 * score['mean']:.{digits}f}"
    yield f"{100 * score['seed_std']:.{digits}f}" if score["seeds"] > 1 else ""
    yield f"[{100 * score['test_low']:.{digits}f}, {100 * score['test_high']:.{digits}f}]"
    known = row.unchanged and not pd.isna(score["trained_mean"])
    yield f"{100 * score['trained_mean']:.{digits}f}" if known else ""


def _delta(row: Row, digits: int, *, mixed: bool) -> Iterator[str]:
    if row.difference is None:
        yield from [""] * 4
        return
    one = row.difference.estimate
    low, high = (f"{100 * end + 0.0:+.{digits}f}" for end in (one.low, one.high))
    other = row.reference == BASELINE and not row.same_images
    yield row.reference + _OTHER_IMAGES * other
    yield minus(f"{100 * one.value + 0.0:+.{digits}f}")
    yield f"{minus(f'[{low}, {high}]')}{'†' * (mixed and not one.over_seeds)}"
    yield p_values([row.difference.p_holm])


def _together(images: str, n: str, captions: str) -> str:
    of = f" of {captions} captions" if captions else ""
    return f"{images}, n = {n}{of}" if images else ""


def _on_images(table: Objectives) -> Iterator[str]:
    """Yield what the rows learned from."""
    if table.alike:
        adapted = [row for row in table.rows if row.adapted]
        images, n, captions = _of_images(adapted[0])
        used = {row.n for row in adapted}
        most = _range([min(low for low, _ in used), max(high for _, high in used)])
        of = _together(images, most if len(used) > 1 else n, captions)
        yield f"All learned from the same images: {of}."
    elif table.same_images:
        yield "All learned from the same images, in other batches where they are named otherwise."
    else:
        yield "Images differ between rows."


def _on_scores(table: Objectives) -> Iterator[str]:
    """Yield what the scores are, and what was chosen."""
    yield f"{SCORES}."
    adapted = [row for row in table.rows if row.adapted]
    if kept := [row for row in adapted if row.unchanged]:
        runs = f"{sum(row.unchanged for row in kept)} of {_runs(adapted)}"
        yield (
            f"Validation kept the unadapted network in {runs} runs; of their rows the mean at the "
            "best trained epochs stands beside."
        )
    by = sorted({str(row.score["select_by"]) for row in adapted})
    yield f"Validation data chose the epoch and the setting of each row, by {' or '.join(by)}."
    if table.experiment.preset in MINIATURE:
        yield "Miniature world, not comparable with published numbers."


def _on_differences(table: Objectives) -> Iterator[str]:
    """Yield what the differences are."""
    known = [row.difference.estimate for row in table.rows if row.difference]
    if known:
        yield (
            "Δ in points, the row less what stands beside it, on the same test images; its "
            f"interval and p are over {covered_by(one.over_seeds for one in known)}; p is "
            "Holm-corrected for all Δ here."
        )


def _runs(rows: Sequence[Row]) -> int:
    return sum(int(row.score["seeds"]) for row in rows)
