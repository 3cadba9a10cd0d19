"""The random numbers of a picture, aspect by aspect: each is the picture's own, or fixed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from bench.miniworld.render.canvas import seeded

Aspect = Literal["backdrop", "paint", "view"]
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
Fixed = Mapping[Aspect, int]
"""Aspect to the seed that decides it, whatever the class and the picture's own seed."""


@dataclass(frozen=True)
class Chances:
    """Where a picture's random numbers are from; what is not fixed shares one sequence.

    Attributes:
        own: the picture's own: grain, and all that is not fixed.
        backdrop: the scene, and what stands in front of the subject.
        paint: colours, markings, and how one individual of a species differs from another.
        view: pose, scale, position, crop, light and exposure.
    """

    own: np.random.Generator
    backdrop: np.random.Generator
    paint: np.random.Generator
    view: np.random.Generator

    @classmethod
    def shared(cls, rng: np.random.Generator) -> "Chances":
        """Return the random numbers of a picture of which nothing is fixed."""
        return cls(rng, rng, rng, rng)

    @classmethod
    def of(cls, domain: str, name: str, seed: int, fixed: Fixed) -> "Chances":
        """Return the random numbers of one picture.

        A fixed aspect's are those of its seed in the domain, so that two classes have the same.

        Raises:
            ValueError: if what is fixed is no aspect or its seed is negative.
        """
        if unknown := [aspect for aspect in fixed if aspect not in ASPECTS]:
            raise ValueError(f"no aspect {unknown[0]!r}; choose among {', '.join(ASPECTS)}")
        if negative := [seed for seed in fixed.values() if seed < 0]:
            raise ValueError(f"a seed must be >= 0, got {negative[0]}")
        own = seeded(domain, name, seed)
        by_aspect = {
            aspect: seeded(domain, aspect, fixed[aspect]) if aspect in fixed else own
            for aspect in ASPECTS
        }
        return cls(own=own, **by_aspect)
