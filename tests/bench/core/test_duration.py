"""Durations are written in the unit that a person would use."""

import pytest

from bench.core.duration import format_duration, format_durations


@pytest.mark.parametrize(
    ("seconds", "text", "in_hours"),
    [
        (0, "0 s", None), (0.0097, "0.01 s", None), (0.31, "0.31 s", None), (9.96, "10 s", None),
        (43.2, "43 s", None), (119.6, "2 min", None), (7_199, "2 h", None),
        (47 * 3_600, "47 h", None), (12 * 86_400, "12 days", "288 h"),
    ],
)  # fmt: skip
def test_a_duration(seconds: float, text: str, in_hours: str | None) -> None:
    assert format_duration(seconds) == text
    assert format_duration(seconds, longest="h") == (in_hours or text)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (13.7, 43.2, "14 to 43 s"), (43, 43.1, "43 s"),
        (50, 300, "50 s to 5 min"), (110, 150, "1.8 to 2.5 min"),
    ],
)  # fmt: skip
def test_a_range_of_durations_names_its_unit_once(low: float, high: float, text: str) -> None:
    assert format_durations(low, high) == text
