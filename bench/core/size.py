"""Sizes as people write them: ``500``, ``31.25k``, ``2.5M``, ``all``."""

from decimal import Decimal, DecimalException

from bench.core.errors import RequestError

_UNITS = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


def parse_size(text: str) -> int | None:
    """Return the number of images that a size names, or None for ``all``.

    Raises:
        RequestError: If the text is not a size, or not a whole number of images above zero.
    """
    cleaned = text.strip().lower().replace("_", "")
    if cleaned == "all":
        return None
    scale = _UNITS.get(cleaned[-1:], 1)
    try:
        value = Decimal(cleaned[:-1] if scale > 1 else cleaned) * scale
        whole = value.is_finite() and value == value.to_integral_value()
    except DecimalException:
        whole, value = False, Decimal(0)
    if not whole or value < 1 or value > 10**12:
        raise RequestError(f"{text!r} is not a number of images", "write 500, 31.25k, 2.5M or all")
    return int(value)


def format_size(count: int | None) -> str:
    """Return the shortest spelling of a number of images that `parse_size` reads back."""
    if count is None:
        return "all"
    for unit in ("M", "k"):
        scaled = Decimal(count) / _UNITS[unit.lower()]
        if scaled >= 1 and scaled == round(scaled, 3):
            return f"{scaled.normalize():f}{unit}"
    return str(count)
