"""Which images each step takes, and how processes share them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapt.data import rank_batches
from adapt.order import BatchSchedule, Draw, balanced_pass, epoch_order
from bench.core.specs import TrainSpec

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=40)


def test_order_is_a_permutation_that_seed_and_epoch_fix() -> None:
    order = epoch_order(1, 2, 50)
    assert sorted(order) == list(range(50))
    assert order == epoch_order(1, 2, 50)
    assert order != epoch_order(1, 3, 50)
    assert order != epoch_order(2, 2, 50)


@given(labels=LABELS, batch=st.integers(1, 17), epochs=st.integers(1, 4))
def test_an_epoch_takes_each_image_once(labels: list[int], batch: int, epochs: int) -> None:
    plan = BatchSchedule(TrainSpec(epochs=epochs, batch_size=batch), labels, seed=3)
    for epoch in range(1, epochs + 1):
        batches = plan.batches(epoch)
        flat = [draw for taken in batches for draw in taken]
        assert sorted(flat) == [Draw(epoch, row) for row in range(len(labels))]
        assert [len(taken) for taken in batches[:-1]] == [batch] * (len(batches) - 1)
        assert plan.steps_before(epoch + 1) - plan.steps_before(epoch) == len(batches)
        assert plan.images_before(epoch + 1) - plan.images_before(epoch) == len(flat)


@given(
    labels=LABELS,
    batch=st.integers(1, 17),
    epochs=st.integers(1, 5),
    more=st.integers(0, 9),
    sampling=st.sampled_from(["uniform", "balanced"]),
)
def test_fixed_steps_are_full_batches_of_whole_laps(
    labels: list[int], batch: int, epochs: int, more: int, sampling: str
) -> None:
    steps = epochs + more
    spec = TrainSpec(epochs=epochs, steps=steps, batch_size=batch, sampling=sampling)  # type: ignore[arg-type]
    plan = BatchSchedule(spec, labels, seed=3)
    assert plan.steps == steps
    per_epoch = [plan.batches(epoch) for epoch in range(1, epochs + 1)]
    assert [len(batches) for batches in per_epoch] == [
        plan.steps_before(epoch + 1) - plan.steps_before(epoch) for epoch in range(1, epochs + 1)
    ]
    assert min(len(batches) for batches in per_epoch) >= 1
    taken = [draws for batches in per_epoch for draws in batches]
    assert [len(draws) for draws in taken] == [batch] * steps
    passes = Counter(draw.pass_index for draws in taken for draw in draws)
    assert list(passes) == list(range(1, len(passes) + 1))
    assert all(passes[pass_index] == len(labels) for pass_index in list(passes)[:-1])
    assert plan.images_before(epochs + 1) == passes.total() == steps * batch


@given(labels=LABELS)
def test_balanced_lap_takes_as_many_of_each_class(labels: list[int]) -> None:
    draws = balanced_pass(0, 1, labels)
    assert len(draws) == len(set(draws)) == len(labels)
    counts = Counter(dict.fromkeys(labels, 0))
    counts.update(labels[draw.row] for draw in draws)
    assert max(counts.values()) - min(counts.values()) <= 1
    for label in counts:
        times = Counter(draw.row for draw in draws if labels[draw.row] == label)
        # Before a class's images run out, none comes again.
        assert max(times.values(), default=0) == -(-counts[label] // labels.count(label))


def test_balanced_laps_of_a_long_tail_reach_every_image() -> None:
    labels = [0] * 90 + [1] * 10
    passes = [balanced_pass(0, pass_index, labels) for pass_index in range(1, 21)]
    assert all(sum(labels[draw.row] for draw in pass_index) == 50 for pass_index in passes)
    assert {draw.row for pass_index in passes for draw in pass_index} == set(range(100))
    assert passes[0] == balanced_pass(0, 1, labels)
    assert passes[0] != balanced_pass(1, 1, labels)


@given(labels=LABELS, batch=st.integers(1, 17), ranks=st.integers(1, 4))
def test_parts_of_all_processes_make_up_each_batch(
    labels: list[int], batch: int, ranks: int
) -> None:
    batches = BatchSchedule(TrainSpec(batch_size=batch), labels, seed=0).batches(5)
    shares = [list(rank_batches(batches, rank, ranks)) for rank in range(ranks)]
    assert {len(share) for share in shares} == {len(batches)}
    for whole, taken in zip(batches, zip(*shares, strict=True), strict=True):
        assert all(part.draws for part in taken)
        assert {part.batch for part in taken} == {len(whole)}
        assert sorted(draw for part in taken if not part.idle for draw in part.draws) == sorted(
            whole
        )
        assert sum(part.weight(len(part.draws)) for part in taken) == pytest.approx(1.0)
        sizes = [0 if part.idle else len(part.draws) for part in taken]
        assert max(sizes) - min(sizes) <= 1
