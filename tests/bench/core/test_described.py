"""What is said of a setting: its values in words, its default, and the text below it."""

from typing import Annotated, Any, Literal

import msgspec
import pytest

from bench.core.config import Config, Fraction, Natural, PathText, Positive
from bench.core.described import Setting, described


class Small(Config, frozen=True, kw_only=True, tag="small", tag_field="kind"):
    """A small one."""

    side: Positive = 3
    """Its side,
    in pixels; None is ``not`` a side."""


class Large(Config, frozen=True, kw_only=True, tag="large", tag_field="kind"):
    """A large one."""

    side: Positive = 3
    """Its side,
    in pixels; None is ``not`` a side."""
    depth: float = 1.0
    """Its depth."""


class Base(Config, frozen=True, kw_only=True):
    """What others inherit."""

    inherited: bool = False
    """Of the base."""


class Everything(Base, frozen=True, kw_only=True):
    """A setting of every kind."""

    needed: PathText
    """A place."""
    share: Fraction = 0.5
    """A share."""
    choice: Literal["a", "b"] = "a"
    """A choice."""
    count: Natural | None = None
    """A count."""
    words: tuple[str, ...] = ("x", "y")
    """Words."""
    pair: tuple[Annotated[float, msgspec.Meta(gt=0, lt=9)], float] = (1.0, 2.0)
    """A pair."""
    numbers: list[int] = []
    """Numbers."""
    whatever: Any = None
    """Whatever."""
    raw: bytes = b"a"
    """Of a type that has no words here."""
    empty: str = ""
    """Nothing."""
    anything: dict[str, Any] = {}
    """A mapping."""
    box: Small | Large = Small()
    """A box."""
    silent: int = 7


EXPECTED = {
    "inherited": ("true or false", "false", "Of the base."),
    "needed": ("path", None, "A place."),
    "share": ("number at least 0 and at most 1", "0.5", "A share."),
    "choice": ("a | b", "a", "A choice."),
    "count": ("whole number at least 0 or null", "null", "A count."),
    "words": ("list of texts", '["x", "y"]', "Words."),
    "pair": ("list of 2 numbers above 0 and below 9", "[1.0, 2.0]", "A pair."),
    "numbers": ("list of whole numbers", "[]", "Numbers."),
    "whatever": ("anything", "null", "Whatever."),
    "raw": ("bytes", '"YQ=="', "Of a type that has no words here."),
    "empty": ("text", '""', "Nothing."),
    "anything": ("mapping", "{}", "A mapping."),
    "box.kind": ("small | large", "small", "small: A small one. large: A large one."),
    "box.side": ("whole number at least 1", "3", "Its side, in pixels; null is `not` a side."),
    "box.depth": ("number", "1.0", "Its depth."),
    "silent": ("whole number", "7", ""),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_setting_is_described(name: str) -> None:
    found = {setting.name: setting for setting in described(Everything)}
    of = ("large",) if name == "box.depth" else ()
    assert found[name] == Setting(name, *EXPECTED[name], of)


def test_every_setting_is_described_once() -> None:
    assert sorted(setting.name for setting in described(Everything)) == sorted(EXPECTED)


def test_a_type_from_no_file_has_settings_without_meaning() -> None:
    made = msgspec.defstruct("Made", [("size", int, 1)], bases=(Config,), kw_only=True, frozen=True)
    assert list(described(made)) == [Setting("size", "whole number", "1", "")]  # type: ignore[arg-type]
