"""Generate images with a diffusion model, in shards that any number of workers share."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from PIL import Image

from bench.core.files import fingerprint, read_parquet
from bench.core.json_values import Json, digest
from bench.core.paths import Home
from bench.core.stage_names import LOAD
from bench.plugins.source import Context
from bench.storage.image_codec import ImageFormat
from bench.storage.stage import Stage
from bench.storage.tar_shards import ShardWriter
from sources.generation.checkpoint import check_generator
from sources.generation.options import GeneratorOptions
from sources.generation.sampler import DiffusionSampler
from sources.generation.shard import Row, ShardGenerator


class Generator:
    """A diffusion model and its options; the weights are loaded for the first image.

    Args:
        options: Which model, and how images are sampled.
        images: How they are kept.
        home: Where weights are.
        strength: Of the noise laid over images that it starts from; None to start from noise.

    Attributes:
        images: How images are kept.
        folder: The pipeline's folder.
        config: All that decides what an item's image is, rounding apart.

    Raises:
        RequestError: If the model is missing or cannot do what is asked.
    """

    def __init__(
        self,
        options: GeneratorOptions,
        images: ImageFormat,
        home: Home,
        strength: float | None = None,
    ) -> None:
        self.images = images
        self.folder = check_generator(options, home)
        self.config: Json = {**options.recipe, "images": images.recipe}
        self.config["generator"] = fingerprint(self.folder)
        if strength is not None:
            self.config["strength"] = strength
        self._options = options
        self._strength = strength

    @cached_property
    def sampler(self) -> DiffusionSampler:
        """The loaded pipeline."""
        return DiffusionSampler(self.folder, self._options, self._strength)

    def try_out(self, context: Context) -> None:
        """Load the weights, unless they were loaded before: bad ones are found before any work.

        Raises:
            RequestError: If they do not load.
        """

        def make(_: int, folder: Path) -> None:
            kind = type(self.sampler.pipeline).__name__
            (folder / "pipeline.json").write_bytes(msgspec.json.encode(kind))

        context.stage(LOAD, self.config).run(1, make, sharded=False)

    def generate(
        self,
        stage: Stage,
        rows: pl.DataFrame,
        context: Context,
        *,
        image_of: Callable[[Row], Image.Image] | None = None,
        wait: bool = True,
    ) -> None:
        """Run a stage that generates one image per row.

        Each shard holds ``images.tar``, ``index.parquet`` (columns of `GENERATED_SCHEMA` in
        `sources.generation.shard`) and ``memory.json``: how often the batch was halved.

        Args:
            stage: Named by `config` and by what the rows depend on.
            rows: Key, caption and seed of each image, and what `image_of` needs.
            context: What the source was given.
            image_of: What an image starts from; None for noise.
            wait: Whether to wait for shards that other workers are generating.
        """
        size = self._options.shard_size

        def make(index: int, folder: Path) -> None:
            part, sampler = rows.slice(index * size, size), self.sampler
            before = sampler.halved
            with (
                ShardWriter(folder / "images.tar") as writer,
                context.progress.bar(stage.name, part.height, "image") as bar,
            ):
                shard = ShardGenerator(sampler, self._options, self.images, writer)
                outcomes = shard.generate(part.to_dicts(), bar, image_of)
            outcomes.write_parquet(folder / "index.parquet")
            halved = {"halved": sampler.halved - before}
            (folder / "memory.json").write_bytes(msgspec.json.encode(halved))

        shards = -(-rows.height // size)
        stage.run(shards, make, wait=wait, summarise=_halved)


def image_rows(captions: pl.DataFrame, per_caption: int, *, shared: bool) -> pl.DataFrame:
    """Return a row per image: its caption's, with ``caption_id``, a key and a seed of its own.

    The first image of a caption has the caption's key and seed; a further one has both, and their
    hash as its seed, so that asking for more images changes none. ``copy`` counts the images of a
    ``caption_id`` from 0.

    Args:
        captions: Key, label, caption, seed and more of each caption.
        per_caption: Images of each caption (SynCLR: 4).
        shared: Whether equal captions of a class are one, with the key of the first as their
            ``caption_id``.
    """
    copies = pl.int_ranges(per_caption, dtype=pl.Int64).alias("copy")
    first = pl.col("key").first().over("label", "caption") if shared else pl.col("key")
    rows = captions.with_columns(copies, first.alias("caption_id")).explode("copy")
    key = pl.when(pl.col("copy") == 0).then("key").otherwise(pl.format("{}-{}", "key", "copy"))
    seeds = [
        int(digest([seed, f"{key}#{copy}"], 15), 16) if copy else seed
        for key, copy, seed in rows.select("key", "copy", "seed").iter_rows()
    ]
    # A caption that comes round again goes on counting.
    copy = pl.int_range(pl.len(), dtype=pl.Int64).over("caption_id").alias("copy")
    return rows.with_columns(key.alias("key"), pl.Series("seed", seeds, pl.Int64), copy)


def generated_rows(stages: Sequence[Stage]) -> pl.DataFrame:
    """Return what became of every image of finished stages."""
    return pl.concat(
        read_parquet(shard / "index.parquet") for stage in stages for shard in stage.shards()
    )


def _halved(shards: list[Path]) -> dict[str, Any]:
    notes = [msgspec.json.decode((shard / "memory.json").read_bytes()) for shard in shards]
    return {"halved": sum(note["halved"] for note in notes)}
