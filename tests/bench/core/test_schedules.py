"""Learning rate schedules."""

import math

import pytest

from bench.core.schedules import cosine, half_cosine, ramp, warmup_cosine


@pytest.mark.parametrize(("warmup", "steps"), [(500, 14670), (500, 30), (0, 7), (6, 6), (3, 50)])
def test_a_linear_rise_then_half_a_cosine(warmup: int, steps: int) -> None:
    for step in range(steps):
        if step < warmup:
            expected = 1e-5 * (step + 1) / warmup
        else:
            fall = (step - warmup) / (steps - warmup)
            expected = 1e-5 * math.cos(math.pi / 2 * fall) ** 2
        assert warmup_cosine(1e-5, step, warmup, steps) == pytest.approx(expected, rel=1e-9)


def test_half_a_cosine_falls_from_one_to_zero() -> None:
    assert [half_cosine(step, 4) for step in (0, 2, 4)] == pytest.approx([1, 0.5, 0])


def test_half_a_cosine_between_two_values() -> None:
    """SynCLR's momentum, and its weight decay."""
    momentum = [cosine(0.994, 1.0, step, 8) for step in (0, 2, 4, 8)]
    quarter = 1 - 0.006 * (1 + math.sqrt(0.5)) / 2
    assert momentum == pytest.approx([0.994, quarter, 0.997, 1.0], abs=1e-15)
    assert cosine(0.04, 0.2, 5, 10) == pytest.approx(0.12)


def test_a_ramp_is_linear_and_then_stays() -> None:
    found = [ramp(0.04, 0.07, step, 4000) for step in (0, 1000, 4000, 9000)]
    assert found == pytest.approx([0.04, 0.0475, 0.07, 0.07], abs=1e-15)
    assert ramp(0.04, 0.07, 0, 0) == 0.07
