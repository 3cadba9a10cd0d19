"""Objectives beside each other: what each made of the same images, and how sure differences are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from bench.core.errors import RequestError
from bench.core.records import AtEpoch
from bench.core.size import format_size
from results.database import queries
from results.database.answered import Answered, answered
from results.labels import UNADAPTED, by_numbers, in_order
from results.pairs import Difference, difference
from results.statistics.paired import holm
from results.wording import measure

if TYPE_CHECKING:
    from results.database.store import Connection
    from results.experiment import Experiment

BASELINE = "ce"
"""The objective that others are compared with: cross-entropy, the paper's."""

_AT_EPOCH: AtEpoch = "chosen"


class Images(NamedTuple):
    """What the runs of a row learned from.

    Attributes:
        label: What the arm is called.
        order: In which order n of the set's images were taken.
        n_asked: Images asked for; None for all of them.
        sets: The image set of each replicate, by its seed and its source's.
    """

    label: str
    order: str
    n_asked: int | None
    sets: Mapping[tuple[int, str], str]

    def same(self, other: Images) -> bool:
        """Return whether both learned from the same images, at every seed that both have.

        Arms that differ in how images come into batches did.
        """
        shared = self.sets.keys() & other.sets.keys()
        alike = all(self.sets[one] == other.sets[one] for one in shared)
        taken = (self.n_asked, self.order) == (other.n_asked, other.order)
        return bool(shared) and alike and taken


@dataclass(frozen=True)
class Row:
    """An objective on an arm's images, by one evaluator.

    Attributes:
        objective: Its name, with the options in which its runs differ; empty for no adaptation.
        positives: What images share that are positives of each other; empty for none.
        images: What it learned from.
        n: The fewest and the most images that a run used.
        captions: Of how many captions they are, the fewest and the most; none where unknown.
        unchanged: In how many runs validation kept the unadapted model.
        score: A row of `results.database.queries.scaling`.
        reference: What it is compared with; none where there is nothing, or no predictions.
        same_images: Whether the reference learned from the same images.
        difference: The row less the reference, on the same test images.
        of_several_n: Whether another row differs from it in n alone.
    """

    objective: str
    positives: str
    images: Images
    n: tuple[int, int]
    captions: tuple[int, int] | None
    unchanged: int
    score: Mapping[Hashable, Any]
    reference: str = ""
    same_images: bool = False
    difference: Difference | None = None
    of_several_n: bool = False

    @property
    def adapted(self) -> bool:
        """Whether it is of an objective, and not of the unadapted model."""
        return self.images.label != UNADAPTED

    @property
    def name(self) -> str:
        """Its objective, with options, the arm it learned from, and n where that alone differs."""
        if not self.adapted:
            return "unadapted"
        n = f" n={format_size(int(self.score['n_used']))}" if self.of_several_n else ""
        return f"{self.objective} {self.images.label}{n}"


@dataclass(frozen=True)
class Objectives:
    """All objectives of a preset, a task and a network, by one evaluator.

    Attributes:
        experiment: Their preset, task and network; its objective is empty.
        evaluator: The evaluator.
        metric: What it measures; higher is better.
        rows: The unadapted model's first, then by images, cross-entropy before the others.
    """

    experiment: Experiment
    evaluator: str
    metric: str
    rows: list[Row]

    @property
    def title(self) -> str:
        """One line that tells it apart."""
        preset, task, model, _ = self.experiment
        of = f"{task} (preset {preset}, {PurePath(model).name})"
        return f"{of}: objectives by {measure(self.evaluator, self.metric)}"

    def has(self, less: str) -> bool:
        """Return whether a row's name has some words."""
        return _named(self.rows, less) is not None

    @property
    def same_images(self) -> bool:
        """Whether all rows learned from the same images."""
        first, *others = [row.images for row in self.rows if row.adapted]
        return all(first.same(one) for one in others)

    @property
    def alike(self) -> bool:
        """Whether all rows are of one arm, too."""
        return self.same_images and len({row.images.label for row in self.rows if row.adapted}) == 1


def objectives(
    connection: Connection, experiments: Sequence[Experiment] | None = None, less: str = ""
) -> Iterator[Objectives]:
    """Yield the objectives of every preset, task and network that was adapted with several.

    Options of an objective make objectives of their own. Each row is compared with cross-entropy on
    the same images; where that was not run, with the only one on as many others; else with the
    unadapted model. P-values are corrected for all rows by the evaluator.

    Args:
        connection: The database.
        experiments: Of which; None for all.
        less: Words of the name of the row that all others are compared with, in tables that have
            it; all of its words are that row alone.

    Raises:
        RequestError: If several rows of a table have these words.
    """
    families: dict[Experiment, list[Experiment]] = {}
    for one in queries.experiments(connection):
        families.setdefault(one._replace(objective=""), []).append(one)
    wanted = {one._replace(objective="") for one in experiments or families}
    for family, members in families.items():
        if len(members) > 1 and family in wanted:
            yield from _of_family(connection, family, members, less)


def _of_family(
    connection: Connection, family: Experiment, members: Sequence[Experiment], less: str
) -> Iterator[Objectives]:
    by_evaluator: dict[str, dict[tuple[str, str, int], Row]] = {}
    for member in members:
        for row in _rows(connection, member):
            key = row.objective, row.images.label, int(row.score["n_used"])
            by_evaluator.setdefault(str(row.score["evaluator"]), {})[key] = row
    for evaluator in in_order(by_evaluator):
        rows = _told_apart(_in_order(by_evaluator[evaluator].values()))
        if len({row.objective for row in rows if row.adapted}) > 1:
            answers = answered(connection, family, evaluator, _AT_EPOCH)
            compared = _compared(answers, rows, less, from_scratch=family.from_scratch)
            yield Objectives(family, evaluator, str(rows[0].score["metric"]), compared)


def _in_order(rows: Collection[Row]) -> list[Row]:
    """Return rows in the order of `Objectives`: those of the same images stand together.

    Of arms of the same images, the one with fewest options is what the others vary.
    """

    def arm(row: Row) -> tuple[int, str]:
        return len(row.images.label.split()), by_numbers(row.images.label)

    def images(row: Row) -> tuple[int, frozenset[str]]:
        return int(row.score["n_used"]), frozenset(row.images.sets.values())

    first: dict[tuple[int, frozenset[str]], str] = {}
    for row in sorted(rows, key=arm):
        first.setdefault(images(row), by_numbers(row.images.label))

    def place(row: Row) -> tuple[object, ...]:
        n, _ = images(row)
        objective = row.objective != BASELINE, by_numbers(row.objective)
        return row.adapted, first[images(row)], n, *objective, arm(row)

    return sorted(rows, key=place)


def _told_apart(rows: Sequence[Row]) -> list[Row]:
    """Return rows of which no two have one name."""
    names = Counter(row.name for row in rows)
    return [replace(row, of_several_n=names[row.name] > 1) for row in rows]


def _rows(connection: Connection, experiment: Experiment) -> Iterator[Row]:
    """Yield an experiment's rows, those of the unadapted model too."""
    runs = queries.selected_runs(connection, experiment)
    points = dict(iter(runs.groupby(["evaluator", "label", "n_point"])))
    for score in queries.scaling(connection, experiment).to_dict("records"):
        some = points[score["evaluator"], score["label"], score["n_used"]]
        adapted = score["label"] != UNADAPTED
        captions = some["n_captions"].dropna()
        yield Row(
            objective=experiment.objective if adapted else "",
            positives=next(filter(None, some["positives"]), ""),
            images=_images(some),
            n=(int(score["n_used_min"]), int(score["n_used_max"])),
            captions=(int(captions.min()), int(captions.max())) if len(captions) else None,
            unchanged=int(some["epoch"].eq(0).sum()) if adapted else 0,
            score=score,
        )


def _images(runs: pd.DataFrame) -> Images:
    first = runs.iloc[0]
    cells = zip(runs["seed"], runs["source_seeds"], runs["image_set"], strict=True)
    return Images(
        label=str(first["label"]),
        order=str(first["image_order"]),
        n_asked=None if pd.isna(first["n_asked"]) else int(first["n_asked"]),
        sets={(int(seed), str(source)): str(images) for seed, source, images in cells},
    )


def _compared(answers: Answered, rows: list[Row], less: str, *, from_scratch: bool) -> list[Row]:
    """Return rows with their references and differences."""
    named = _named(rows, less)

    def compared_with(row: Row, other: Row | None) -> Row:
        if other is None or other is row:
            return row
        sides = _runs_of(answers, row), _runs_of(answers, other)
        return replace(
            row,
            reference=other.name if named else other.objective or "unadapted",
            same_images=other.adapted and row.images.same(other.images),
            difference=difference(answers, sides, from_scratch=from_scratch),
        )

    compared = [compared_with(row, named or _reference(row, rows)) for row in rows]
    known = [row.difference for row in compared if row.difference]
    corrected = iter(holm([one.estimate.p for one in known]))
    return [
        replace(row, difference=replace(row.difference, p_holm=next(corrected)))
        if row.difference
        else row
        for row in compared
    ]


def _named(rows: Sequence[Row], less: str) -> Row | None:
    """Return the row whose name has some words; None if there are no words, or no such row."""
    words = set(less.split())
    found = [row for row in rows if words and words <= set(row.name.split())]
    # A name in full may be a part of a longer one.
    found = [row for row in found if words == set(row.name.split())] or found
    if len(found) > 1:
        names = "; ".join(row.name for row in found)
        raise RequestError(f"{len(found)} rows are called {less!r}: {names}", "give more words")
    return found[0] if found else None


def _reference(row: Row, rows: Sequence[Row]) -> Row | None:
    """Return what a row is compared with, as `objectives` says; None for the unadapted model."""
    if not row.adapted:
        return None
    at_n = [
        one
        for one in rows
        if one.objective == BASELINE and one.images.n_asked == row.images.n_asked
    ]
    same = [one for one in at_n if one.images.same(row.images)]
    own = [one for one in at_n if one.images.label == row.images.label]
    both = [one for one in same if one in own]
    found = both or same or own or at_n
    if row.objective != BASELINE and len(found) == 1:
        return found[0]
    return next((one for one in rows if not one.adapted), None)


def _runs_of(answers: Answered, row: Row) -> pd.Series[bool]:
    runs = answers.runs
    of_arm = (runs["arm"] == row.images.label) & (runs["objective"] == row.objective)
    at_n: pd.Series[bool] = runs["n_used"].eq(row.score["n_used"]) | (not row.adapted)
    return of_arm & at_n
