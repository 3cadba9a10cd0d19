"""The results as tables: one row per source and n; seed spread and test interval side by side."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from bench.core.size import format_size
from bench.core.terminal import columns_of
from results import pairs
from results.conclusions.choices import choices
from results.database import queries
from results.digits import decimals
from results.experiment import Experiment
from results.fidelity import caution
from results.labels import UNADAPTED, in_order
from results.tables.sheet import Kind, Sheet, label
from results.tables.terminal import aligned
from results.wording import WIDTH, measure, metric_name, minus, p_values, wrapped

if TYPE_CHECKING:
    from results.database.store import Connection

LEGEND = "in %; ± standard deviation over seeds; [95 % interval over test images]"

SCORES = "In %; ± standard deviation over seeds; 95 % interval over test images"

OTHER_EPOCHS = {", best trained epoch": "trained_mean", ", last epoch": "last_mean"}
"""Endings of the columns for other epochs than the chosen one, and the means that they show."""

_COLUMNS: list[tuple[str, Kind]] = [
    ("images", "text"), ("n", "right"), ("seeds", "right"), ("%", "number"), ("±", "number"),
    ("95 % interval", "text"), ("Δ", "number"), ("95 % interval of Δ", "text"), ("p", "number"),
]  # fmt: skip

_EPOCHS: list[tuple[str, Kind]] = [
    ("images", "text"), ("n", "right"), ("%", "number"), ("best trained", "number"),
    ("last epoch", "number"),
]  # fmt: skip
"""A table of its own: beside the others these columns are wider than a page of 5.5 inches."""

_MOST_PAIRS = 30
"""Differences between arms that a table for paper lists, over all n; csv and parquet have all."""

_LARGEST = "; of two arms, the Δ at the largest n that both have is shown"

_AGAINST = {
    "difference": "less_unadapted",
    "ci_low": "less_unadapted_low",
    "ci_high": "less_unadapted_high",
    "p": "less_unadapted_p",
    "p_holm": "less_unadapted_p_holm",
    "over_seeds": "less_unadapted_over_seeds",
}
"""Columns of `results.pairs.pair_table`, by what the table of numbers calls them."""


class Table(NamedTuple):
    """An experiment's results.

    Attributes:
        experiment: Whose.
        means: Rows of `results.database.queries.scaling`.
        differences: Rows of `results.pairs.pair_table`.
        caution: What to keep in mind about them.
        choices: What was chosen on validation data.
    """

    experiment: Experiment
    means: pd.DataFrame
    differences: pd.DataFrame
    caution: str
    choices: list[str]

    @classmethod
    def of(cls, connection: Connection, experiment: Experiment) -> Table:
        """Return an experiment's table."""
        fidelity = queries.fidelity(connection, experiment)
        return cls(
            experiment,
            queries.scaling(connection, experiment),
            pairs.pair_table(connection, experiment),
            caution(fidelity, experiment.preset, experiment.task),
            choices(connection, experiment),
        )

    @property
    def title(self) -> str:
        """One line that tells experiments apart."""
        return self.experiment.title

    @property
    def legend(self) -> str:
        """What the numbers are, what to keep in mind about them, and what was chosen."""
        return self._with_choices(LEGEND, self.choices)

    @property
    def numbers(self) -> pd.DataFrame:
        """The means, beside each its difference to the unadapted model, in shares."""
        keys = ["evaluator", "n_used", "label"]
        against = self.differences[self.differences["b"] == UNADAPTED]
        against = against.rename(columns={"a": "label", **_AGAINST})[[*keys, *_AGAINST.values()]]
        return self.means.merge(against, "left", on=keys)

    def sheets(self) -> Iterator[Sheet]:
        """Yield an evaluator's scores, then its differences between arms; then other epochs."""
        for evaluator in in_order(self.means["evaluator"]):
            means = self.means[self.means["evaluator"] == evaluator]
            differences = self.differences[self.differences["evaluator"] == evaluator]
            scores = list(_score_rows(means, differences))
            shown = _of_pages(differences)
            between = list(_difference_rows(shown))
            left_out = len(shown) < len(differences)
            title = f"{self.title}, {measure(evaluator, means['metric'].iloc[0])}"
            sheet = Sheet.of(title, _COLUMNS, [*scores, *between])
            yield sheet._replace(
                note=self._with_choices(_note(differences) + _LARGEST * left_out, self.choices[:1]),
                label=label(*self.experiment, evaluator),
                breaks=(len(scores),) if between else (),
            )
            if means["last_mean"].notna().any():
                epochs = Sheet.of(f"{title} at other epochs", _EPOCHS, list(_epoch_rows(means)))
                yield epochs._replace(
                    note="Means over seeds, in %; first at the epoch that validation data chose.",
                    label=label(*self.experiment, evaluator, "epochs"),
                )

    def _with_choices(self, legend: str, choices: list[str]) -> str:
        known = f"{legend}; {self.caution}" if self.caution else legend
        return " ".join([f"{known}.", *choices])


def text(means: pd.DataFrame, width: int = WIDTH) -> str:
    """Return a table for a terminal: a column an evaluator, or, where that is too wide, a part."""
    parts = [means]
    if _natural_width(readable(means)) > width:
        evaluators = in_order(means["evaluator"])
        parts = [means[means["evaluator"] == evaluator] for evaluator in evaluators]
    shown = [aligned(_as_sheet(readable(part)), width) for part in parts]
    return "\n".join(["\n\n".join(shown), wrapped(LEGEND, width)])


def readable(means: pd.DataFrame, *, other_epochs: bool = False) -> pd.DataFrame:
    """Return rows of `results.database.queries.scaling` as text, one column per evaluator.

    A score with fewer seeds than others of its row says how many.

    Args:
        means: The rows.
        other_epochs: Whether each evaluator has columns for its means at other epochs too.
    """
    point = means.groupby(["label", "n_used"])
    seeds = point["seeds"].transform("max")
    keys = {
        "source": means["label"].replace(UNADAPTED, "unadapted"),
        "n used": _used(means),
        "seeds": seeds.astype(str),
    }
    evaluators = means["evaluator"] + " " + means["metric"].map(metric_name)
    digits = evaluators.map({name: _digits(rows) for name, rows in means.groupby(evaluators)})
    rows = list(zip(means.to_dict("records"), digits, strict=True))
    by_ending = {"": [_cell(row, most, own) for (row, own), most in zip(rows, seeds, strict=True)]}
    # Records of earlier versions have the chosen epoch alone.
    if other_epochs and means["last_mean"].notna().any():
        by_ending |= {
            name: [_at_other_epochs(row, own)[at] for row, own in rows]
            for at, name in enumerate(OTHER_EPOCHS)
        }
    shown = pd.concat(
        pd.DataFrame({**keys, "column": evaluators + ending, "cell": cells})
        for ending, cells in by_ending.items()
    )
    cells = shown.pivot_table(index=list(keys), columns="column", values="cell", aggfunc="first")
    # A pivot sorts its rows and columns as text; ours come by source and size, and by evaluator.
    order = pd.MultiIndex.from_frame(shown[list(keys)].drop_duplicates())
    columns = [name + ending for name in in_order(evaluators) for ending in by_ending]
    ordered = cells.reindex(index=order, columns=columns)
    return ordered.fillna("").reset_index().rename_axis(columns=None)


def _used(means: pd.DataFrame) -> list[str]:
    """Return how many images the runs of each point used, from fewest to most."""
    point = means.groupby(["label", "n_used"])
    ends = zip(
        point["n_used_min"].transform("min"), point["n_used_max"].transform("max"), strict=True
    )
    return [" to ".join(map(format_size, dict.fromkeys(pair))) for pair in ends]


def _digits(means: pd.DataFrame) -> int:
    return decimals(50 * (means["test_high"] - means["test_low"]))


def _percent(share: float, digits: int) -> str:
    return "" if math.isnan(share) else f"{100 * share:.{digits}f}"


def _interval(low: float, high: float, digits: int, sign: str = "") -> str:
    return f"[{100 * low:{sign}.{digits}f}, {100 * high:{sign}.{digits}f}]"


def _cell(row: dict[Hashable, Any], most: int, digits: int) -> str:
    mean = _percent(row["mean"], digits)
    spread = f" ± {_percent(row['seed_std'], digits)}" if row["seeds"] > 1 else ""
    fewer = f" (seeds: {row['seeds']})" if row["seeds"] < most else ""
    return f"{mean}{spread} {_interval(row['test_low'], row['test_high'], digits)}{fewer}"


def _at_other_epochs(row: dict[Hashable, Any], digits: int) -> list[str]:
    """Return its means at other epochs; the unadapted model had none."""
    is_adapted = row["label"] != UNADAPTED
    return [_percent(row[of], digits) if is_adapted else "" for of in OTHER_EPOCHS.values()]


def _score_rows(means: pd.DataFrame, differences: pd.DataFrame) -> Iterator[list[str]]:
    """Yield a row of `_COLUMNS` per source and n, with its difference to the unadapted model."""
    digits = _digits(means)
    against = differences[differences["b"] == UNADAPTED].set_index(["a", "n_used"])
    certain = _certain(differences)
    for row, used in zip(means.to_dict("records"), _used(means), strict=True):
        at = row["label"], row["n_used"]
        yield [
            "unadapted" if row["label"] == UNADAPTED else str(row["label"]),
            used,
            str(row["seeds"]),
            _percent(row["mean"], digits),
            _percent(row["seed_std"], digits),
            _interval(row["test_low"], row["test_high"], digits),
            *(certain(against.loc[at]) if at in against.index else [""] * 3),
        ]


def _epoch_rows(means: pd.DataFrame) -> Iterator[list[str]]:
    """Yield a row of `_EPOCHS` per adapted source and n."""
    digits = _digits(means)
    for row, used in zip(means.to_dict("records"), _used(means), strict=True):
        if row["label"] != UNADAPTED:
            mean = _percent(row["mean"], digits)
            yield [str(row["label"]), used, mean, *_at_other_epochs(row, digits)]


def _of_pages(differences: pd.DataFrame) -> pd.DataFrame:
    """Return an evaluator's differences; of many between arms, each pair's at its largest n."""
    between = differences["b"] != UNADAPTED
    if between.sum() <= _MOST_PAIRS:
        return differences
    largest = differences.groupby(["a", "b"])["n_used"].transform("max")
    shown: pd.DataFrame = differences[~between | (differences["n_used"] == largest)]
    return shown


def _difference_rows(differences: pd.DataFrame) -> Iterator[list[str]]:
    """Yield a row of `_COLUMNS` per two arms at an n."""
    certain = _certain(differences)
    for _, row in differences[differences["b"] != UNADAPTED].iterrows():
        seeds = " and ".join(dict.fromkeys([str(row["seeds_a"]), str(row["seeds_b"])]))
        what = f"{row['a']} less {row['b']}"
        yield [what, format_size(row["n_used"]), seeds, *[""] * 3, *certain(row)]


def _certain(differences: pd.DataFrame) -> Any:  # noqa: ANN401 (a function of a row)
    """Return what makes cells of a difference: in points, its interval, and Holm's p."""
    digits = decimals(50 * (differences["ci_high"] - differences["ci_low"]))
    mixed = differences["over_seeds"].nunique() > 1

    def cells(row: pd.Series[Any]) -> list[str]:
        images_alone = "†" if mixed and not row["over_seeds"] else ""
        value = f"{100 * row['difference'] + 0.0:+.{digits}f}"
        interval = _interval(row["ci_low"], row["ci_high"], digits, "+")
        return [value, f"{minus(interval)}{images_alone}", p_values([row["p_holm"]])]

    return cells


def _note(differences: pd.DataFrame) -> str:
    """Return what the numbers of `_COLUMNS` are."""
    if differences.empty:
        return SCORES
    over = covered_by(map(bool, differences["over_seeds"]))
    return (
        f"{SCORES}. Δ in points, against the unadapted model and, below, between arms on the same "
        f"test images; its interval and p are over {over}; p is Holm-corrected for all Δ here"
    )


def covered_by(over_seeds: Iterable[bool]) -> str:
    """Return what the intervals of some differences are over; `certain` marks the exceptions."""
    return {
        (True,): "test images and seeds",
        (False,): "test images alone, as there are too few seeds",
        (False, True): "test images and seeds, † over test images alone",
    }[tuple(sorted(set(over_seeds)))]


def _as_sheet(table: pd.DataFrame) -> Sheet:
    kinds: dict[str, Kind] = {"n used": "right", "seeds": "right"}
    columns = [(str(name), kinds.get(str(name), "text")) for name in table.columns]
    return Sheet.of("", columns, table.to_numpy(object).tolist())


def _natural_width(table: pd.DataFrame) -> int:
    lines = [list(map(str, table.columns)), *table.astype(str).to_numpy().tolist()]
    return sum(max(map(columns_of, cells)) + 2 for cells in zip(*lines, strict=True)) - 2
