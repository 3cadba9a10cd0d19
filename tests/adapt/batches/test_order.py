"""Which images each step takes, and how processes share them."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapt.batches.order import BatchSchedule, SampledImage, balanced_pass, epoch_order
from adapt.batches.ranks import rank_batches
from bench.core.specs import TrainSpec

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=40)


def test_order_is_a_permutation_that_seed_and_epoch_fix() -> None:
    order = epoch_order(1, 2, 50).tolist()
    assert sorted(order) == list(range(50))
    assert order == epoch_order(1, 2, 50).tolist()
    assert order not in (epoch_order(1, 3, 50).tolist(), epoch_order(2, 2, 50).tolist())


def test_orders_stay_as_they_were() -> None:
    """Trainings of earlier versions stay to the bit, and go on after an upgrade."""
    assert epoch_order(3, 2, 12).tolist() == [2, 1, 9, 0, 5, 11, 4, 10, 6, 7, 8, 3]
    labels = [0, 0, 0, 0, 0, 1, 1, 2]

    def rows(**how: Any) -> list[list[int]]:
        schedule = BatchSchedule(TrainSpec(batch_size=5, epochs=2, **how), labels, seed=3)
        return [[sample.row for sample in batch] for e in (1, 2) for batch in schedule.batches(e)]

    passes = [[4, 1, 3, 7, 0], [6, 5, 2], [1, 2, 5, 6, 4], [0, 7, 3]]
    assert rows() == passes
    assert rows(steps=3) == [[4, 1, 3, 7, 0], [6, 5, 2, 1, 2], [5, 6, 4, 0, 7]]
    balanced = [[6, 7, 1, 7, 4], [5, 7, 6, 6, 1], [7, 3, 5, 7, 0]]
    assert rows(steps=3, sampling="balanced") == balanced


@given(labels=LABELS, batch=st.integers(1, 17), epochs=st.integers(1, 4))
def test_an_epoch_takes_each_image_once(labels: list[int], batch: int, epochs: int) -> None:
    schedule = BatchSchedule(TrainSpec(epochs=epochs, batch_size=batch), labels, seed=3)
    for epoch in range(1, epochs + 1):
        batches = schedule.batches(epoch)
        flat = [sample for batch_samples in batches for sample in batch_samples]
        assert sorted(flat) == [SampledImage(epoch, row) for row in range(len(labels))]
        assert [len(samples) for samples in batches[:-1]] == [batch] * (len(batches) - 1)
        assert schedule.steps_before(epoch + 1) - schedule.steps_before(epoch) == len(batches)
        assert schedule.images_before(epoch + 1) - schedule.images_before(epoch) == len(flat)


@given(
    labels=LABELS,
    batch=st.integers(1, 17),
    epochs=st.integers(1, 5),
    more=st.integers(0, 9),
    sampling=st.sampled_from(["uniform", "balanced"]),
)
def test_fixed_steps_are_full_batches_of_whole_passes(
    labels: list[int], batch: int, epochs: int, more: int, sampling: str
) -> None:
    steps = epochs + more
    spec = TrainSpec(epochs=epochs, steps=steps, batch_size=batch, sampling=sampling)  # type: ignore[arg-type]
    schedule = BatchSchedule(spec, labels, seed=3)
    assert schedule.steps == steps
    per_epoch = [schedule.batches(epoch) for epoch in range(1, epochs + 1)]
    for epoch, batches in enumerate(per_epoch, 1):
        between = schedule.steps_before(epoch + 1) - schedule.steps_before(epoch)
        assert len(batches) == between >= 1
    taken = [samples for batches in per_epoch for samples in batches]
    assert [len(samples) for samples in taken] == [batch] * steps
    passes = Counter(sample.pass_index for samples in taken for sample in samples)
    assert list(passes) == list(range(1, len(passes) + 1))
    assert all(passes[pass_index] == len(labels) for pass_index in list(passes)[:-1])
    assert schedule.images_before(epochs + 1) == passes.total() == steps * batch


@given(labels=LABELS)
def test_balanced_pass_takes_as_many_of_each_class(labels: list[int]) -> None:
    samples = balanced_pass(0, 1, labels)
    assert len(samples) == len(set(samples)) == len(labels)
    counts = Counter(dict.fromkeys(labels, 0))
    counts.update(labels[sample.row] for sample in samples)
    assert max(counts.values()) - min(counts.values()) <= 1
    for label in counts:
        times = Counter(sample.row for sample in samples if labels[sample.row] == label)
        # Before a class's images run out, none comes again.
        assert max(times.values(), default=0) == -(-counts[label] // labels.count(label))


def test_balanced_passes_of_a_long_tail_reach_every_image() -> None:
    labels = [0] * 90 + [1] * 10
    passes = [balanced_pass(0, pass_index, labels) for pass_index in range(1, 21)]
    assert all(sum(labels[sample.row] for sample in samples) == 50 for samples in passes)
    assert {sample.row for samples in passes for sample in samples} == set(range(100))
    assert passes[0] == balanced_pass(0, 1, labels)
    assert passes[0] != balanced_pass(1, 1, labels)


@given(labels=LABELS, batch=st.integers(1, 17), ranks=st.integers(1, 4))
def test_the_shares_of_all_processes_make_up_each_batch(
    labels: list[int], batch: int, ranks: int
) -> None:
    batches = BatchSchedule(TrainSpec(batch_size=batch), labels, seed=0).batches(5)
    shares = [list(rank_batches(batches, rank, ranks)) for rank in range(ranks)]
    assert {len(share) for share in shares} == {len(batches)}
    for samples, of_ranks in zip(batches, zip(*shares, strict=True), strict=True):
        assert all(share.samples for share in of_ranks)
        assert {share.total for share in of_ranks} == {len(samples)}
        busy = [share for share in of_ranks if not share.idle]
        assert sorted(sample for share in busy for sample in share.samples) == sorted(samples)
        assert sum(share.weight(len(share.samples)) for share in of_ranks) == pytest.approx(1.0)
        sizes = [0 if share.idle else len(share.samples) for share in of_ranks]
        assert max(sizes) - min(sizes) <= 1
