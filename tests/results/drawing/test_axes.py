"""Axes of panels."""

import pytest

from results.drawing import axes
from results.drawing.look import LOOKS


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (320, "320"),
        (1_280, "1.28k"),
        (5_517, "5.52k"),
        (7_812, "7.81k"),
        (15_625, "15.6k"),
        (31_250, "31.25k"),
        (250_000, "250k"),
        (2_500_000, "2.5M"),
        (123_456_789, "123M"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert axes.short(size) == text


def test_limits_leave_room_and_show_no_speck_as_a_mountain() -> None:
    limits = axes.vertical([50, 60], 2.0, below=0.5, above=0.5)
    assert limits == (45, 65)
    equal = axes.vertical([70, 70], 2.0, below=0, above=0)
    assert equal == (69, 71)


def test_ticks_are_of_values_that_there_can_be() -> None:
    limits = axes.Limits(95, 101)
    values = axes.round_values(limits, 1.8, LOOKS["paper"], within=(0, 100))
    assert values
    assert max(values) <= 100


def test_dodged_markers_stay_nearer_to_their_size_than_to_the_next() -> None:
    shifts = axes.dodges(6, [100, 200, 400], LOOKS["paper"], 1.5)
    assert shifts == sorted(shifts)
    assert sum(shifts) == pytest.approx(0)
    # Two sizes are 0.8 * 1.5 / 2 inches apart.
    assert shifts[-1] - shifts[0] < 0.6 * 0.36
