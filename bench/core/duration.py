"""Durations in the unit that a person would use; files and JSON keep theirs."""

from typing import Literal

Unit = Literal["s", "min", "h", "days"]

_SECONDS: dict[Unit, float] = {"s": 1, "min": 60, "h": 3600, "days": 86400}

_LARGEST = {"s": 120, "min": 120, "h": 48}
"""From this number of a unit on, the next unit is used."""


def format_duration(seconds: float, longest: Unit = "days") -> str:
    """Return a duration with two digits, or more before the decimal point.

    Args:
        seconds: The duration.
        longest: The largest unit to use, e.g. hours for a price.
    """
    return f"{_number(seconds, unit := _unit(seconds, longest))} {unit}"


def format_durations(low: float, high: float) -> str:
    """Return a range of durations; its unit appears once where one fits both ends."""
    unit = _unit(high, "days")
    # An end below one of the other's unit keeps its own.
    if _unit(low, "days") != unit and low < _SECONDS[unit]:
        return f"{format_duration(low)} to {format_duration(high)}"
    return f"{' to '.join(dict.fromkeys([_number(low, unit), _number(high, unit)]))} {unit}"


def _unit(seconds: float, longest: Unit) -> Unit:
    units = list(_SECONDS)
    for unit in units[: units.index(longest)]:
        if round(seconds / _SECONDS[unit]) < _LARGEST[unit]:
            return unit
    return longest


def _number(seconds: float, unit: Unit) -> str:
    value = seconds / _SECONDS[unit]
    if value >= 9.95:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value >= 1 else f"{round(value, 2):g}"
