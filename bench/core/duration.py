"""Durations in the unit that a person would use; files and JSON keep theirs."""

from typing import Literal

Unit = Literal["s", "min", "h", "days"]

_SECONDS: dict[Unit, float] = {"s": 1, "min": 60, "h": 3600, "days": 86400}

_LARGEST = {"s": 120, "min": 120, "h": 48}
"""From so many of a unit on, the next one is used."""


def format_duration(seconds: float, longest: Unit = "days") -> str:
    """Return a duration with two digits, or all that it has before the point.

    Args:
        seconds: How long it is.
        longest: The largest unit to use; hours, for instance, where they are paid for.
    """
    return f"{_figure(seconds, unit := _unit(seconds, longest))} {unit}"


def format_durations(low: float, high: float) -> str:
    """Return the two ends of a span, its unit once where one fits both."""
    unit = _unit(high, "days")
    # An end that would be a fraction of the other's unit has its own.
    if _unit(low, "days") != unit and low < _SECONDS[unit]:
        return f"{format_duration(low)} to {format_duration(high)}"
    return f"{' to '.join(dict.fromkeys([_figure(low, unit), _figure(high, unit)]))} {unit}"


def _unit(seconds: float, longest: Unit) -> Unit:
    units = list(_SECONDS)
    for unit in units[: units.index(longest)]:
        if round(seconds / _SECONDS[unit]) < _LARGEST[unit]:
            return unit
    return longest


def _figure(seconds: float, unit: Unit) -> str:
    value = seconds / _SECONDS[unit]
    if value >= 9.95:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value >= 1 else f"{round(value, 2):g}"
