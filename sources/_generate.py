"""Generate: a text-to-image diffusion model draws one image per caption."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
import polars as pl
from PIL import Image

from bench.errors import RequestError
from bench.files import fingerprint
from bench.shards import ShardWriter, Suffix, encode
from bench.stage import Stage
from bench.types import Context, Declared, Positive, digest
from sources._captions import caption_rows
from sources._tars import reduced

if TYPE_CHECKING:
    import torch

MAX_DRAWS = 3
"""Times an image is drawn anew, with the next seed, when it comes out black, constant or NaN."""


class GeneratorOptions(Declared, frozen=True, kw_only=True):
    """How images are generated; the defaults are the paper's (002, appendix A.1)."""

    generator: str
    """Name or path of a diffusers pipeline folder."""
    steps: Positive = 50
    guidance: Annotated[float, msgspec.Meta(ge=0)] = 2.5
    height: Positive = 512
    """Side of the square that is generated, in pixels."""
    image_size: Positive = 256
    """Longest side kept, in pixels."""
    suffix: Suffix = ".jpg"
    dtype: Literal["fp32", "fp16", "bf16"] = "fp32"
    batch_size: Positive = 16
    """Images drawn at once; changes speed, not seeds."""
    shard_size: Positive = 1000


def generate(captioned: Stage, options: GeneratorOptions, context: Context) -> Stage:
    """Return the finished images of a block of captions.

    Each shard holds ``images.tar`` and ``index.parquet`` (key, offset, size, sha256, draws); an
    image that failed every draw has no offset.

    Raises:
        RequestError: If the generator's folder holds no pipeline, or it cannot draw that height.
    """
    folder = context.home.find_weights(options.generator)
    rows = caption_rows(captioned)
    config = {
        name: getattr(options, name)
        for name in ("steps", "guidance", "height", "image_size", "suffix", "dtype", "shard_size")
    }
    config["generator"] = fingerprint(folder)
    stage = Stage(context.home.data, "generate", config, [captioned.output])
    painter: list[_Painter] = []

    def make(index: int, target: Path) -> None:
        if not painter:
            painter.append(_Painter(folder, options))
        part = rows.slice(index * options.shard_size, options.shard_size)
        with context.progress.bar("generate", part.height, "image") as bar:
            found = []
            with ShardWriter(target / "images.tar") as writer:
                for start in range(0, part.height, options.batch_size):
                    batch = part.slice(start, options.batch_size)
                    found += _write(painter[0].paint(batch), batch, writer, options)
                    bar.advance(batch.height)
        schema = {"key": pl.String, "draws": pl.Int64, "offset": pl.Int64, "size": pl.Int64}
        pl.DataFrame(found, schema=schema | {"sha256": pl.String}, orient="row").write_parquet(
            target / "index.parquet"
        )

    shards = -(-rows.height // options.shard_size)
    stage.run(shards, make, context.progress, only=context.shards)
    return stage


def _write(
    drawn: list[tuple[Image.Image | None, int]],
    batch: pl.DataFrame,
    writer: ShardWriter,
    options: GeneratorOptions,
) -> list[dict[str, Any]]:
    found = []
    for key, (image, draws) in zip(batch["key"], drawn, strict=True):
        place = {}
        if image is not None:
            content = encode(reduced(image, options.image_size), options.suffix)
            place = writer.add(key, content, options.suffix)
        found.append({"key": key, "draws": draws, **place})
    return found


def _load(folder: Path, dtype: str) -> Any:  # noqa: ANN401 (a diffusers pipeline)
    import torch
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import logging
    from safetensors import SafetensorError
    from transformers.utils import logging as transformers_logging

    for library in (logging, transformers_logging):
        library.disable_progress_bar()
        library.set_verbosity_error()
    kinds = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    try:
        return StableDiffusionPipeline.from_pretrained(
            folder,
            dtype=kinds[dtype],
            safety_checker=None,
            requires_safety_checker=False,
            local_files_only=True,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise RequestError(
            f"the generator {folder} does not load: {error}",
            "give a folder that diffusers wrote for a Stable Diffusion pipeline",
        ) from error


class _Painter:
    """A diffusion pipeline, loaded once, that draws every image from its own seed."""

    def __init__(self, folder: Path, options: GeneratorOptions) -> None:
        import torch
        from diffusers import DDIMScheduler

        pipeline = _load(folder, options.dtype)
        # Latents are that much smaller; the pipeline itself asks for 8.
        factor = max(pipeline.vae_scale_factor, 8)
        if options.height % factor:
            raise RequestError(
                f"{options.generator!r} cannot draw images {options.height} pixels high",
                f"give a height that {factor} divides",
            )
        # DDIM, eta 0 (002, appendix A.1).
        pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
        self._options = options

    def paint(self, batch: pl.DataFrame) -> list[tuple[Image.Image | None, int]]:
        """Draw one image per caption; return each with the number of draws it took."""
        captions, seeds = batch["caption"].to_list(), batch["seed"].to_list()
        drawn: list[tuple[Image.Image | None, int]] = [(None, 0)] * len(captions)
        missing = list(range(len(captions)))
        for draw in range(MAX_DRAWS):
            seeds_now = [int(digest([seeds[item], draw], 15), 16) for item in missing]
            images = self._draw([captions[item] for item in missing], seeds_now)
            for item, image in zip(missing, images, strict=True):
                drawn[item] = (image, draw + 1)
            missing = [item for item in missing if drawn[item][0] is None]
            if not missing:
                break
        return drawn

    def _draw(self, captions: list[str], seeds: list[int]) -> list[Image.Image | None]:
        import torch

        options, pipeline = self._options, self._pipeline
        side = options.height // pipeline.vae_scale_factor
        shape = (pipeline.unet.config.in_channels, side, side)
        latents = torch.stack([self._noise(shape, seed) for seed in seeds])
        with torch.inference_mode():
            pixels = pipeline(
                captions,
                height=options.height,
                width=options.height,
                num_inference_steps=options.steps,
                guidance_scale=options.guidance,
                latents=latents.to(pipeline.device, pipeline.unet.dtype),
                output_type="np",
            ).images
        return [_image(frame) for frame in pixels]

    @staticmethod
    def _noise(shape: tuple[int, int, int], seed: int) -> "torch.Tensor":
        import torch

        # Drawn on the CPU, image by image: the same on any device, in any batch, on any shard.
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _image(frame: np.ndarray[Any, np.dtype[np.float32]]) -> Image.Image | None:
    """Return a frame as an image, or None if it is black, constant or not finite."""
    if not np.isfinite(frame).all() or frame.std() < 1 / 255:
        return None
    return Image.fromarray((frame * 255).round().astype(np.uint8))
