"""How sentences spell numbers and names, and where their lines may break."""

import re
import textwrap
from collections.abc import Iterable, Sequence

import msgspec

WIDTH = 98
"""Columns of wrapped text where no terminal says how many it has."""

_NO_BREAK = "\N{NO-BREAK SPACE}"

# Numbers stay with their units, and signs with what they relate.
_UNBREAKABLE = re.compile(
    r"(?<=\d) (?=%|points?\b|seeds?\b|images?\b)|(?<=[=<>±]) (?=\S)|(?<=\S) (?=[=<>±])"
)

_MEASURES = {
    "mean-per-class": "mean-per-class accuracy",
    "mean-average-precision": "mean average precision",
    "miou": "mIoU",
}

_ZERO = 1e-9
"""Differences of shares below this are what adding up in another order leaves of none."""


def sign_of(low: float, high: float) -> int:
    """Return 1 or -1 if an interval lies above or below 0, 0 if it holds it."""
    return int(low > _ZERO) - int(high < -_ZERO)


def agrees(difference: float, sign: int) -> bool:
    """Return whether a difference lies on one side of 0, which 0 itself does not."""
    return sign * difference > _ZERO


def number(share: float) -> str:
    """Return a share in per cent, or a difference of shares in points, without the unit."""
    return f"{round(100 * share, 1) + 0.0:.1f}"


def minus(text: str) -> str:
    """Return numbers with a minus where they have a hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """Return a share in per cent."""
    return f"{number(share)} %"


def points(difference: float) -> str:
    """Return a difference of shares in points, with its sign."""
    return f"{round(100 * difference, 1) + 0.0:+.1f} points"


def covered(*, over_seeds: bool) -> str:
    """Return what an interval is over."""
    return "test images and seeds" if over_seeds else "test images"


def interval(low: float, high: float, over: str) -> str:
    """Return the 95 % interval of a difference of shares, and what it is over."""
    return f"95 % interval over {over} {number(low)} to {number(high)}"


def p_values(values: list[float]) -> str:
    """Return a p-value, or the range of those of several seeds."""
    return " to ".join(
        dict.fromkeys(f"{p:.3f}" if p >= 0.001 else "< 0.001" for p in (min(values), max(values)))
    )


def p_value(p: float) -> str:
    """Return a p-value as an equation."""
    text = p_values([p])
    return f"p {text}" if text[0] == "<" else f"p = {text}"


def measure(evaluator: str, metric: str) -> str:
    """Return what an evaluator measures."""
    return f"{evaluator} {metric_name(metric)}"


def metric_name(metric: str) -> str:
    """Return a metric in words."""
    return _MEASURES.get(metric, metric)


def metric_names(metrics: Iterable[str]) -> str:
    """Return metrics in words, each once: what an axis is of that evaluators share."""
    return listed(list(dict.fromkeys(map(metric_name, metrics))), "or")


def written(value: object) -> str:
    """Return a value as YAML reads it: ``true``, not Python's ``True``; text without quotes."""
    plain = isinstance(value, str | float)
    return str(value) if plain else msgspec.json.encode(value).decode()


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return words as a list in a sentence."""
    *others, end = words
    return f"{', '.join(others)} {last} {end}" if others else end


def grouped(clauses: Iterable[tuple[str, str]]) -> list[str]:
    """Return ``lead this and that`` for each lead of the pairs of a lead and its object."""
    groups: dict[str, list[str]] = {}
    for lead, what in clauses:
        groups.setdefault(lead, []).append(what)
    return [f"{lead} {listed(objects)}" for lead, objects in groups.items()]


def sentence(text: str) -> str:
    """Return a text with a capital to begin with and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def seed_count(seeds: Sequence[int]) -> str:
    """Return how many seeds one or two arms have, in words."""
    fewest, most = min(seeds), max(seeds)
    count = f"{most}" if fewest == most else f"{fewest} and {most}"
    return f"{count} seed{'s' if most > 1 else ''}"


def unbroken(text: str) -> str:
    """Return a text in which no line breaks between a number and its unit."""
    return _UNBREAKABLE.sub(_NO_BREAK, text)


def wrapped(text: str, width: int = WIDTH, *, bullet: str = "") -> str:
    """Return a text in lines; no word is split, not even at its hyphen.

    Args:
        text: One paragraph.
        width: Columns.
        bullet: What begins the first line; the others are as far indented.
    """
    lines = textwrap.wrap(
        unbroken(text),
        width,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n".join(lines).replace(_NO_BREAK, " ")
