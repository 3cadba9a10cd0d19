"""How a language model is sampled: as in (Geng 2024, code, synthesize_text.py:78-93).

The paper's text has none of these numbers.
"""

from typing import Annotated

import msgspec

from bench.core.config import AboveZero, Config


class Sampling(Config, frozen=True, kw_only=True):
    """Temperature and nucleus sampling, and an end."""

    temperature: AboveZero = 0.8
    """What the logits are divided by; below 1, likely words become likelier."""
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.9
    """Share of the probability that the words to sample from have; the likeliest are taken."""
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    """Tokens of one caption at most; it ends with its line."""
