"""Learning rate schedules."""

import math

import pytest

from bench.core.schedules import half_cosine, warmup_cosine


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
