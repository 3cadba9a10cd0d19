"""A world to generate in: a home, a small CLIP, tiny pipelines of every family."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.config import parse_config
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.task import Task
from bench.plugins import source_of
from bench.plugins.source import Context
from bench.storage.image_set import ImageSet
from sources.generation.options import GeneratorOptions
from sources.generation.sampler import DiffusionSampler
from tests.support.contexts import context, image_of
from tests.support.source_options import options_of
from tests.support.tiny_clip import colour_task

BLOCK = 8
FAMILIES = ("xl", "sd3", "flux", "lcm")


@dataclass(frozen=True)
class World:
    """A home with a small CLIP, and tiny pipelines."""

    home: Home
    clip: Path
    pipelines: Path

    def settings(self, generator: str = "sd", source: str = "synthetic", **more: Any) -> Json:
        """Return options for quick images; the names of pipelines are their families."""
        quick: Json = {
            "generation__model": generator if "/" in generator else str(self.pipelines / generator),
            "filter__model": str(self.clip), "steps": 2, "height": 32, "images__size": 32,
            "suffix": ".png", "batch_size": 4, "generation__shard_size": 4,
        }  # fmt: skip
        if source == "synthetic":
            quick["block_size"] = BLOCK
        return options_of(source, **{**quick, **more})

    def context(self, n: int | None = BLOCK - 2, task: Task | None = None) -> Context:
        """Return what a source is given."""
        return context(self.home, task or colour_task(), n)

    def collect(self, n: int | None = BLOCK - 2, task: Task | None = None, **more: Any) -> ImageSet:
        """Return generated images."""
        return source_of("synthetic", self.settings(**more)).collect(self.context(n, task))

    def elsewhere(self, folder: Path) -> "World":
        """Return a world like this with a home of its own."""
        return World(Home(folder), self.clip, self.pipelines)


def sampler(world: World, strength: float | None = None, **more: Any) -> DiffusionSampler:
    settings = world.settings(**more)["generation"]
    options = parse_config(GeneratorOptions, settings, "generation")
    return DiffusionSampler(Path(options.model), options, strength)


def pixels(world: World, images: ImageSet) -> dict[str, Any]:
    rows = images.index().iter_rows(named=True)
    return {row["key"]: np.asarray(image_of(world.home, row)).astype(int) for row in rows}
