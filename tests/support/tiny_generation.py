"""A world to generate in: a home, a small CLIP, tiny pipelines of every family."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapt.models import ClipEmbedder, load_clip
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Task
from bench.plugins import source_of
from bench.plugins.source import Context
from bench.storage.image_set import ImageSet, read_image
from sources.generation.options import GeneratorOptions
from sources.generation.sampler import DiffusionSampler
from tests.support.tiny_clip import colour_task

BLOCK = 8
FAMILIES = ("xl", "sd3", "flux", "lcm")


def embedder(name: str) -> ClipEmbedder:
    return ClipEmbedder(load_clip(Path(name)))


@dataclass(frozen=True)
class World:
    """A home with a small CLIP, and tiny pipelines."""

    home: Home
    clip: Path
    pipelines: Path

    def settings(self, **more: object) -> Json:
        """Return options for quick images; the names of pipelines are their families."""
        options: Json = {
            "generator": "sd", "filter_model": str(self.clip), "steps": 2, "height": 32,
            "image_size": 32, "suffix": ".png", "block_size": BLOCK, "shard_size": 4,
            "batch_size": 4,
        }  # fmt: skip
        options |= more
        if "/" not in str(options["generator"]):
            options["generator"] = str(self.pipelines / str(options["generator"]))
        return options

    def context(self, n: int | None = BLOCK - 2, task: Task | None = None) -> Context:
        """Return what a source is given."""
        return Context(self.home, task or colour_task(), n, 0, embedder, Progress(quiet=True))

    def collect(
        self, n: int | None = BLOCK - 2, task: Task | None = None, **more: object
    ) -> ImageSet:
        """Return generated images."""
        return source_of("synthetic", self.settings(**more)).collect(self.context(n, task))

    def elsewhere(self, folder: Path) -> "World":
        """Return a world like this with a home of its own."""
        return World(Home(folder), self.clip, self.pipelines)


def sampler(world: World, strength: float | None = None, **more: object) -> DiffusionSampler:
    options = world.settings(**more)
    names = GeneratorOptions.__struct_fields__
    chosen = GeneratorOptions(**{name: options[name] for name in names if name in options})
    return DiffusionSampler(Path(options["generator"]), chosen, strength)


def pixels(world: World, images: ImageSet) -> dict[str, Any]:
    return {
        row["key"]: np.asarray(
            read_image(world.home.data, row["shard"], row["offset"], row["size"], row["sha256"])
        ).astype(int)
        for row in images.index().iter_rows(named=True)
    }
