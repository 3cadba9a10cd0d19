"""Durations are written in the unit that a person would use."""

import pytest

from bench.core.duration import format_duration, format_durations


@pytest.mark.parametrize(
    ("seconds", "text", "in_hours"),
    [
        (0, "0 s", "0 s"),
        (0.0097, "0.01 s", "0.01 s"),
        (0.31, "0.31 s", "0.31 s"),
        (9.96, "10 s", "10 s"),
        (43.2, "43 s", "43 s"),
        (119.6, "2 min", "2 min"),
        (7_199, "2 h", "2 h"),
        (47 * 3_600, "47 h", "47 h"),
        (12 * 86_400, "12 days", "288 h"),
    ],
)
def test_a_duration(seconds: float, text: str, in_hours: str) -> None:
    assert format_duration(seconds) == text
    assert format_duration(seconds, longest="h") == in_hours


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (13.7, 43.2, "14 to 43 s"),
        (43, 43.1, "43 s"),
        (50, 300, "50 s to 5 min"),
        (110, 150, "1.8 to 2.5 min"),
    ],
)
def test_a_range_of_durations_names_its_unit_once(low: float, high: float, text: str) -> None:
    assert format_durations(low, high) == text
