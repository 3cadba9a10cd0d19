"""A diffusion pipeline at work: captions and seeds in, pixels out, in two steps."""

import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bench.core.errors import RequestError
from sources.generation.oom import Halving
from sources.generation.options import GeneratorOptions
from sources.generation.pipeline import load_pipeline
from sources.generation.prompt_embeddings import Prompts
from sources.generation.safety import SafetyChecker

if TYPE_CHECKING:
    import torch

Frame = NDArray[np.float32]
"""One image, ``[height, width, 3]``, from 0 to 1 unless something went wrong."""

DECODED_PIXELS = 2**20
"""Pixels that are decoded at once: four images of 512 pixels. In fp16 the largest layer of Stable
Diffusion's decoder takes 0.5 GB for them (4 x 256 x 512 x 512 numbers), and the next batch, which
is denoised meanwhile, has the rest of the memory. Not measured on CUDA."""


@dataclass(frozen=True)
class Item:
    """One image to be sampled.

    Attributes:
        prompt: Its caption.
        seed: Seed of its noise.
        image: What it starts from; None for noise alone.
    """

    prompt: str
    seed: int
    image: Image.Image | None = None


class DiffusionSampler:
    """A pipeline, loaded once, that samples every image from its own seed.

    Args:
        folder: The pipeline's folder.
        options: How to sample.
        strength: Of the noise that is laid over images, from 0 to 1; None to start from noise.

    Attributes:
        pipeline: The diffusers pipeline.
        prompts: Its text encoders.
        safety: Its safety checker, where one is asked for.

    Raises:
        RequestError: As `sources.generation.pipeline.load_pipeline` does.
    """

    def __init__(
        self, folder: Path, options: GeneratorOptions, strength: float | None = None
    ) -> None:
        self.pipeline = load_pipeline(folder, options, of_images=strength is not None)
        self.prompts = Prompts(self.pipeline, options.guidance)
        self.safety = SafetyChecker(self.pipeline) if options.safety != "off" else None
        self._options = options
        self._strength = strength
        self._denoising = Halving(options.batch_size)
        fit = max(1, DECODED_PIXELS // options.height**2)
        self._decoding = Halving(min(options.batch_size, fit))
        # Others decode in ways of their own, within their call.
        self._latent = options.pipeline == "stable-diffusion"
        self._taken = inspect.signature(self.pipeline.__call__).parameters

    @property
    def halved(self) -> int:
        """How often a batch was halved for want of memory."""
        return self._denoising.times + self._decoding.times

    def denoise(self, items: Sequence[Item], steps: int | None = None) -> list[Any]:
        """Do the long first step: latents or pixels, as `finish` takes them.

        Args:
            items: Images to sample.
            steps: Steps of the sampler; None for the options'.

        Raises:
            BenchError: If there is no memory for a single image.
        """
        work = partial(self._call, steps=steps or self._options.steps)
        return _first(self._denoising(work, self._whole_batches(items)), len(items))

    def finish(self, made: list[Any]) -> list[Frame]:
        """Turn what `denoise` made into pixels, image by image."""
        if not self._latent:
            return [frame for frames in made for frame in frames]
        decoded = [part for latents in made for part in self._decoding(self._decode, latents)]
        return [frame for frames in decoded for frame in frames]

    def _whole_batches(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return items of which some come again, until no batch is smaller than the others.

        A compiled denoiser is compiled anew for each size of a batch, which takes longer than
        that. Another one gets the items as they are.
        """
        missing = -len(items) % self._denoising.batch if self._options.compile else 0
        return [*items, *islice(cycle(items), missing)]

    def _call(self, items: Sequence[Item], steps: int) -> Any:  # noqa: ANN401 (latents or pixels)
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel

        plain = self._options.attention == "math"
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            made = self.pipeline(
                **self.prompts.arguments([item.prompt for item in items]),
                **self._start(items),
                num_inference_steps=steps,
                guidance_scale=self._options.guidance,
                output_type="latent" if self._latent else "np",
            ).images
        if not self._latent and made[0].shape[:2] != (self._options.height,) * 2:
            raise RequestError(
                f"{self._options.model!r} generates {made[0].shape[1]} by {made[0].shape[0]} "
                f"pixels where {self._options.height} are asked for",
                "give a source.generation.height that it can generate",
            )
        return made

    def _start(self, items: Sequence[Item]) -> dict[str, Any]:
        """Return what the images start from, and their sizes where the pipeline asks for them."""
        import torch

        height = self._options.height
        # Seeded on the CPU, image by image: the same on any device, in any batch, on any shard.
        generators = [torch.Generator().manual_seed(item.seed) for item in items]
        start: dict[str, Any] = {"generator": generators}
        if "height" in self._taken:
            start |= {"height": height, "width": height}
        if self._strength is not None:
            side = (height, height)
            # The middle square, as an evaluation sees it: nothing is squeezed.
            images = [
                ImageOps.fit(item.image, side, Image.Resampling.BICUBIC)
                for item in items
                if item.image is not None
            ]
            start |= {"image": images, "strength": self._strength}
        elif self._latent:
            start["latents"] = self._noise(generators)
        return start

    def _noise(self, generators: Sequence["torch.Generator"]) -> "torch.Tensor":
        """Return noise in full precision, so that it is the same for any number format."""
        import torch

        pipeline = self.pipeline
        side = self._options.height // pipeline.vae_scale_factor
        shape = (pipeline.unet.config.in_channels, side, side)
        noise = [torch.randn(shape, generator=generator) for generator in generators]
        return torch.stack(noise).to(pipeline.device, pipeline.unet.dtype)

    def _decode(self, latents: Any) -> NDArray[np.float32]:  # noqa: ANN401 (a tensor)
        """Return pixels; in float32 where numbers of half precision do not reach.

        Another attempt would not mend that, and would leave out what such latents show.
        """
        import torch

        frames = _pixels(self.pipeline, self.pipeline.vae, latents)
        if latents.dtype == torch.float16 and not np.isfinite(frames).all():
            good = torch.isfinite(latents).flatten(1).all(1).tolist()
            for place, frame in enumerate(frames):
                if good[place] and not np.isfinite(frame).all():
                    alone = latents[place : place + 1].float()
                    frames[place] = _pixels(self.pipeline, self._precise_vae, alone)[0]
        return frames

    @cached_property
    def _precise_vae(self) -> Any:  # noqa: ANN401 (a module)
        """The decoder in float32: 0.3 GB more, once it is needed."""
        return deepcopy(self.pipeline.vae).float()


def _pixels(pipeline: Any, vae: Any, latents: Any) -> NDArray[np.float32]:  # noqa: ANN401
    """Return the pixels that a decoder makes of latents, ``[images, height, width, 3]``."""
    import torch

    with torch.inference_mode():
        decoded = vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0]
        frames = pipeline.image_processor.postprocess(decoded, output_type="np")
    return np.asarray(frames, np.float32)


def _first(parts: list[Any], count: int) -> list[Any]:
    """Return the first so many images of what was made in parts."""
    kept = []
    for part in parts:
        kept.append(part[:count])
        count -= len(kept[-1])
    return kept
