"""What a user may say about the captions that images are generated from."""

from math import isclose
from typing import ClassVar, Literal

import msgspec

from bench.core.config import Config, ListText, Natural, Positive
from bench.core.errors import did_you_mean
from bench.core.json_values import Json
from bench.plugins import full_options, writers

Kind = Literal["class", "relation", "background"]
KINDS: dict[str, float] = {"class": 0.44, "relation": 0.11, "background": 0.45}
"""Shares of the three kinds, as in (Geng 2024, code, synthesize_text.py:206-215) and SynCLR's code
(synthesize_text.py:140-149)."""


class CaptionOptions(Config, frozen=True, kw_only=True):
    """Which writer, about what, and how often it may try again."""

    later: ClassVar = ("kinds", "concepts")

    writer: str = "grammar"
    """A file in ``sources/writers``: grammar, transformers, openai, names, minimal-pairs or file.
    """
    options: Json = {}
    """The writer's own options, e.g. ``source.captions.options.model``."""
    phrases: ListText = "paper"
    """Templates, relations and backgrounds: paper, mini, places, synclr, or a YAML file's path."""
    kinds: dict[str, float] = msgspec.field(default_factory=KINDS.copy)
    """Shares of the kinds of captions; they sum to 1, and a kind that is not named has none."""
    concepts: ListText | None = None
    """What captions are about, besides or in place of the task's classes: synclr, or the path of a
    YAML file. Images of a concept that is no class have no label, which ce and supcon refuse."""
    retries: Natural = 5
    """Times that a caption is written anew while it is unfit, and again while it is a copy."""
    shard_size: Positive = 1000
    """Captions that a kill may cost."""
    block_size: Positive = 10_000
    """Captions in a block."""

    def __post_init__(self) -> None:
        for kind, share in self.kinds.items():
            if kind not in KINDS:
                near = did_you_mean(kind, list(KINDS)) or f"there are: {', '.join(KINDS)}"
                raise ValueError(f"kinds: unknown kind {kind!r}; {near}")
            if not share > 0:
                raise ValueError(f"kinds: {kind} is {share}; shares are above 0")
        total = sum(self.kinds.values())
        if not isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"kinds: the shares sum to {total:g}, not to 1")

    @property
    def shares(self) -> dict[str, float]:
        """The shares of kinds in one order, however they were written."""
        return {kind: self.kinds[kind] for kind in KINDS if kind in self.kinds}

    @classmethod
    def complete(cls, values: Json) -> Json:
        """Return values with all options of the writer."""
        writer, options = values.get("writer", "grammar"), values.get("options", {})
        if not isinstance(writer, str) or not isinstance(options, dict):
            return values
        return {**values, "options": full_options(writers, writer, options)}
