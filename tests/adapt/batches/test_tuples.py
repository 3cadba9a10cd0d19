"""Batches of groups: tuples stay together, passes take each once, and no batch need be short."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapt.batches.order import (
    BatchSchedule,
    SampledImage,
    check_batches,
    epoch_order,
    images_per_pass,
)
from adapt.batches.ranks import rank_batches
from bench.core.errors import RequestError
from bench.core.specs import TrainSpec
from bench.plugins.objective import Needs

T = TypeVar("T")


class Case(NamedTuple):
    """Images in groups, and how many tuples of how many images a batch has."""

    groups: list[int]
    per_group: int
    tuples: int

    def schedule(self, **more: Any) -> BatchSchedule:
        """Return the batches; groups 0, 3 and 6 are of class 0, and so on."""
        seed, seamless = more.pop("seed", 3), more.pop("seamless", False)
        spec = TrainSpec(**{"batch_size": self.tuples * self.per_group, "epochs": 3, **more})
        labels = [group % 3 for group in self.groups]
        return BatchSchedule(
            spec, labels, seed, groups=self.groups, per_group=self.per_group, seamless=seamless
        )

    @property
    def whole(self) -> dict[int, int]:
        """How many images of each group a pass has."""
        sizes = Counter(self.groups)
        return {g: n - n % self.per_group for g, n in sizes.items() if n >= self.per_group}


@st.composite
def cases(draw: st.DrawFn, least: int = 2) -> Case:
    """Return cases in which a pass has at least one batch."""
    per_group = draw(st.integers(least, 4))
    sizes = [per_group, *draw(st.lists(st.integers(0, 12), max_size=6))]
    groups = draw(st.permutations([g for g, size in enumerate(sizes) for _ in range(size)]))
    tuples = draw(st.integers(1, sum(size // per_group for size in sizes)))
    return Case(groups, per_group, tuples)


def cut(items: Sequence[T], size: int) -> list[tuple[T, ...]]:
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


def all_batches(schedule: BatchSchedule, epochs: int = 3) -> list[list[SampledImage]]:
    return list(chain.from_iterable(schedule.batches(epoch) for epoch in range(1, epochs + 1)))


@given(case=cases(), seamless=st.booleans())
def test_a_pass_takes_each_tuple_once_and_keeps_it_together(case: Case, seamless: bool) -> None:
    batches = all_batches(case.schedule(seamless=seamless))
    for batch in batches:
        for images_of_one in cut(batch, case.per_group):
            assert len({sample.row for sample in images_of_one}) == case.per_group
            assert len({case.groups[sample.row] for sample in images_of_one}) == 1
            assert len({sample.pass_index for sample in images_of_one}) == 1
    taken = list(chain(*batches))
    assert len(set(taken)) == len(taken)
    images = images_per_pass(case.groups, case.per_group)
    assert images == sum(case.whole.values())
    for index, one_pass in enumerate(cut(taken, images), 1):
        assert {sample.pass_index for sample in one_pass} == {index}
        if len(one_pass) == images:
            assert Counter(case.groups[sample.row] for sample in one_pass) == case.whole


@given(case=cases(least=1), epochs=st.integers(1, 5))
def test_seamless_batches_are_full_and_counted(case: Case, epochs: int) -> None:
    size, images = case.tuples * case.per_group, sum(case.whole.values())
    schedule, done = case.schedule(epochs=epochs, seamless=True), 0
    for epoch in range(1, epochs + 1):
        assert schedule.steps_before(epoch) == done == (epoch - 1) * images // size
        batches = schedule.batches(epoch)
        assert {len(batch) for batch in batches} == {size}
        for step in range(len(batches)):
            assert schedule.images_before(epoch, step) == (done + step) * size
        done += len(batches)
    assert schedule.steps == done
    # All that the passes hold, but for less than a batch.
    assert 0 <= epochs * images - schedule.images_before(epochs + 1) < size


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_seamless_batches_of_single_images_are_in_the_order_of_passes(sampling: str) -> None:
    labels = [0] * 9 + [1] * 4
    spec = TrainSpec(epochs=3, batch_size=5, sampling=sampling)  # type: ignore[arg-type]
    passes = all_batches(BatchSchedule(spec, labels, 3))
    seamless = all_batches(BatchSchedule(spec, labels, 3, groups=labels, seamless=True))
    assert list(chain(*seamless)) == list(chain(*passes))[: 3 * 13 // 5 * 5]
    if sampling == "uniform":
        assert [sample.row for sample in chain(*seamless)][:13] == epoch_order(3, 1, 13).tolist()


@given(
    case=cases(), steps=st.sampled_from([None, 7]), epoch=st.integers(1, 3),
    sampling=st.sampled_from(["uniform", "balanced"]),
)  # fmt: skip
def test_batches_depend_on_seed_and_pass_alone(
    case: Case, steps: int | None, epoch: int, sampling: str
) -> None:
    how: dict[str, Any] = {"steps": steps, "sampling": sampling, "seamless": True}
    used = case.schedule(**how)
    whole = [used.batches(each) for each in (1, 2, 3)]
    # As after a kill: nothing is known of the epochs before.
    assert case.schedule(**how).batches(epoch) == whole[epoch - 1]
    if steps is None:
        assert case.schedule(epochs=5, **how).batches(epoch) == whole[epoch - 1]


def test_passes_and_seeds_make_other_tuples_and_reach_every_image() -> None:
    case = Case([0] * 5 + [1] * 3, 2, 1)
    schedule = case.schedule(epochs=20)
    passes = [
        [frozenset(sample.row for sample in batch) for batch in schedule.batches(epoch)]
        for epoch in range(1, 21)
    ]
    assert all(len(one_pass) == 3 for one_pass in passes)
    assert {row for one_pass in passes for images in one_pass for row in images} == set(range(8))
    # Every pair of a group comes up, and either group comes first.
    assert len(set(chain(*passes))) == 10 + 3
    assert {case.groups[min(one_pass[0])] for one_pass in passes} == {0, 1}
    assert all_batches(case.schedule(seed=0)) != all_batches(case.schedule(seed=1))


@given(case=cases())
def test_classes_take_turns_tuple_by_tuple(case: Case) -> None:
    taken = list(chain(*case.schedule(sampling="balanced", epochs=1).batches(1)))
    assert len(taken) == len(set(taken)) == sum(case.whole.values())
    classes = []
    for images_of_one in cut(taken, case.per_group):
        assert len({(case.groups[sample.row], sample.copy) for sample in images_of_one}) == 1
        assert len({sample.row for sample in images_of_one}) == case.per_group
        classes.append(case.groups[images_of_one[0].row] % 3)
    there = {group % 3 for group in case.whole}
    for turn in cut(classes, len(there)):
        assert len(set(turn)) == len(turn)
        assert set(turn) <= there


@given(case=cases(least=1), ranks=st.integers(1, 4))
def test_processes_take_whole_tuples(case: Case, ranks: int) -> None:
    coupled = case.tuples % ranks == 0
    batches = all_batches(case.schedule(seamless=coupled))
    shares = [list(rank_batches(batches, rank, ranks, case.per_group)) for rank in range(ranks)]
    for batch, of_ranks in zip(batches, zip(*shares, strict=True), strict=True):
        together = set(cut(batch, case.per_group))
        for share in of_ranks:
            assert together.issuperset(cut(share.samples, case.per_group))
        busy = [share.samples for share in of_ranks if not share.idle]
        assert sorted(chain(*busy)) == sorted(batch)
        sizes = [0 if share.idle else len(share.samples) for share in of_ranks]
        assert max(sizes) - min(sizes) <= (0 if coupled else case.per_group)
        assert sum(share.weight(len(share.samples)) for share in of_ranks) == pytest.approx(1)


SIX = Needs(group="caption", per_group=6, coupled=True)


@pytest.mark.parametrize(
    ("batch", "needs", "processes", "images", "message"),
    [
        (512, SIX, 1, None,
         "train.batch_size=512 is no multiple of 6: 6 images of a group stay together; "
         "set train.batch_size to a multiple of 6, such as 510 or 516"),
        (30, SIX, 4, None,
         "train.batch_size=30 is no multiple of 24: 6 images of a group stay together and "
         "4 processes take equal shares; set train.batch_size to a multiple of 24, such as "
         "24 or 48"),
        (4, SIX, 1, None,
         "train.batch_size=4 is no multiple of 6: 6 images of a group stay together; "
         "set train.batch_size to a multiple of 6, such as 12 or 18"),
        (6, SIX, 1, None,
         "train.batch_size=6 is 6 images of one group, and this objective compares a batch's "
         "groups; set train.batch_size=12 or more"),
        (1, Needs(coupled=True), 1, None,
         "train.batch_size=1 is one image, and this objective compares a batch's groups; "
         "set train.batch_size=2 or more"),
        (12, SIX, 1, 6,
         "train.batch_size=12 is more than the 6 images of a pass, and this objective compares "
         "the images of a batch; ask for more images, or for more of each caption "
         "(source.images_per_caption)"),
        (512, Needs(coupled=True), 3, None,
         "train.batch_size=512 is no multiple of 3: 3 processes take equal shares; "
         "set train.batch_size to a multiple of 3, such as 510 or 513"),
        (512, Needs(coupled=True), 1, 300,
         "train.batch_size=512 is more than the 300 images of a pass, and this objective compares "
         "the images of a batch; ask for more images, or set train.batch_size=300"),
        (24, SIX, 2, 18,
         "train.batch_size=24 is more than the 18 images of a pass, and this objective compares "
         "the images of a batch; ask for more images, or for more of each caption "
         "(source.images_per_caption), or set train.batch_size=12"),
        (24, SIX, 2, 6,
         "train.batch_size=24 is more than the 6 images of a pass, and this objective compares "
         "the images of a batch; ask for more images, or for more of each caption "
         "(source.images_per_caption)"),
    ],
)  # fmt: skip
def test_batches_that_do_not_fit_are_refused(
    batch: int, needs: Needs, processes: int, images: int | None, message: str
) -> None:
    with pytest.raises(RequestError) as refused:
        check_batches(TrainSpec(batch_size=batch), needs, processes, images)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("batch", "needs", "processes", "images"),
    [
        (512, Needs(), 3, 7),
        (510, SIX, 1, 510),
        (510, SIX, 5, None),
        (12, SIX, 2, None),
        (1, Needs(per_group=1), 1, None),
        (12, Needs(group="class", per_group=4), 5, 4),
    ],
)
def test_batches_that_fit_are_not(
    batch: int, needs: Needs, processes: int, images: int | None
) -> None:
    check_batches(TrainSpec(batch_size=batch), needs, processes, images)
