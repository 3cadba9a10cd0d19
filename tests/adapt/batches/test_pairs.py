"""Adjacent pairs: a pass goes template by template, and a batch compares what differs in a word."""

from itertools import chain, groupby
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapt.batches.groups import pair_ids
from adapt.batches.order import BatchSchedule, SampledImage, check_batches, tuples_of_pass
from adapt.batches.ranks import rank_batches
from bench.core.errors import RequestError
from bench.core.specs import TrainSpec
from bench.plugins.objective import Needs


class Case(NamedTuple):
    """Images in groups, each of a pair, and how many tuples of how many images a batch has."""

    groups: list[int]
    pair_of: list[int]
    per_group: int
    tuples: int

    @property
    def pairs(self) -> list[int]:
        """The pair of each image."""
        return [self.pair_of[group] for group in self.groups]

    def schedule(self, seed: int = 3, **more: Any) -> BatchSchedule:
        """Return the batches, with or without adjacent pairs."""
        spec = TrainSpec(**{
            "batch_size": self.tuples * self.per_group, "epochs": 3, "adjacent": "pair", **more,
        })  # fmt: skip
        return BatchSchedule(
            spec, [0] * len(self.groups), seed, groups=self.groups, per_group=self.per_group,
            pairs=np.asarray(self.pairs) if spec.adjacent else None, seamless=True,
        )  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return cases in which a pass has at least one batch."""
    per_group = draw(st.integers(1, 3))
    sizes = [per_group, *draw(st.lists(st.integers(0, 9), max_size=9))]
    groups = draw(st.permutations([g for g, size in enumerate(sizes) for _ in range(size)]))
    pair_of = [draw(st.integers(0, 3)) for _ in sizes]
    tuples = draw(st.integers(1, sum(size // per_group for size in sizes)))
    return Case(groups, pair_of, per_group, tuples)


def taken(schedule: BatchSchedule, pass_index: int) -> list[int]:
    """Return the rows of a pass that is whole, in order."""
    every = chain.from_iterable(schedule.batch(step) for step in range(schedule.steps))
    return [one.row for one in every if one.pass_index == pass_index]


@given(case=cases(), seed=st.integers(0, 5))
def test_a_pass_takes_the_same_tuples_pair_by_pair(case: Case, seed: int) -> None:
    """Every image once, in whole tuples; each pair is one run, so batches have the fewest pairs."""
    rows = taken(case.schedule(seed), 1)
    groups = np.asarray(case.groups)
    expected = tuples_of_pass(seed, 1, groups, case.per_group).tolist()
    found = [rows[at : at + case.per_group] for at in range(0, len(rows), case.per_group)]
    assert sorted(found) == sorted(expected)
    runs = [pair for pair, _ in groupby(rows, key=case.pairs.__getitem__)]
    assert len(runs) == len(set(runs))
    # What a pair holds beyond its first and last batch fills batches alone.
    size = case.tuples * case.per_group
    batches = [rows[at : at + size] for at in range(0, len(rows), size)]
    distinct = sum(len({case.pairs[row] for row in batch}) for batch in batches)
    assert distinct <= len(runs) + len(batches) - 1


@given(case=cases(), tuples=st.integers(1, 4))
def test_pairs_of_whole_batches_are_never_mixed(case: Case, tuples: int) -> None:
    groups = [group for group in range(6) for _ in range(case.per_group * tuples)]
    even = Case(groups, [0, 1, 1, 2, 3, 3], case.per_group, tuples)
    batches = [even.schedule().batch(step) for step in range(even.schedule().steps)]
    assert {len({even.pairs[one.row] for one in batch}) for batch in batches} == {1}


def test_a_pass_and_a_seed_have_their_own_order_of_pairs() -> None:
    case = Case([group for group in range(24) for _ in range(2)], [g % 6 for g in range(24)], 2, 4)
    orders = {
        tuple(dict.fromkeys(case.pairs[row] for row in taken(case.schedule(seed), index)))
        for seed in range(2)
        for index in (1, 2, 3)
    }
    assert len(orders) == 6
    assert all(sorted(order) == list(range(6)) for order in orders)
    within = {
        tuple(row for row in taken(case.schedule(), index) if case.pairs[row] == 0)
        for index in (1, 2, 3)
    }
    assert len(within) == 3


@given(case=cases(), steps=st.sampled_from([None, 7]), ranks=st.integers(1, 3))
def test_batches_are_known_by_step_and_shared_in_whole_tuples(
    case: Case, steps: int | None, ranks: int
) -> None:
    assume(case.tuples % ranks == 0)
    schedule = case.schedule(steps=steps)
    batches = [schedule.batch(step) for step in range(schedule.steps)]
    # As after a kill: nothing is known of the steps before.
    assert [case.schedule(steps=steps).batch(at) for at in range(len(batches))] == batches
    assert list(chain.from_iterable(map(schedule.batches, (1, 2, 3)))) == batches
    shares = [list(rank_batches(batches, rank, ranks, case.per_group)) for rank in range(ranks)]
    for batch, of_ranks in zip(batches, zip(*shares, strict=True), strict=True):
        samples: list[SampledImage] = [one for share in of_ranks for one in share.samples]
        assert sorted(samples) == sorted(batch)
        assert len({len(share.samples) for share in of_ranks}) == 1


def test_pairs_are_numbered_and_images_without_one_are_refused() -> None:
    rows = pl.DataFrame({"pair": ["a {}", "the {}", "a {}"]})
    assert pair_ids(rows).tolist() == [0, 1, 0]
    lacking = pl.DataFrame({"pair": ["a {}", None, None]}, {"pair": pl.String})
    with pytest.raises(RequestError) as refused:
        pair_ids(lacking)
    assert str(refused.value) == (
        "2 of the 3 images are of no pair, and train.adjacent=pair puts those of one into a batch; "
        "generate them with --set source.captions.writer=minimal-pairs, or leave it out"
    )
    with pytest.raises(ValueError, match="needs each image's pair"):
        BatchSchedule(TrainSpec(adjacent="pair"), [0, 0], 0)


@pytest.mark.parametrize(
    ("needs", "sampling", "why"),
    [
        (Needs(), "uniform", "does not compare images of captions; leave it out, or take"),
        (Needs(group="class", coupled=True), "uniform", "does not compare images of captions"),
        (Needs(group="caption"), "uniform", "does not compare images of captions"),
        (Needs(group="caption", coupled=True), "balanced", "leave out one of them"),
    ],
)
def test_adjacent_pairs_that_mean_nothing_are_refused(
    needs: Needs, sampling: Literal["uniform", "balanced"], why: str
) -> None:
    check_batches(TrainSpec(adjacent="pair"), Needs(group="caption", coupled=True), 1)
    with pytest.raises(RequestError, match=why):
        check_batches(TrainSpec(adjacent="pair", sampling=sampling), needs, 1)
