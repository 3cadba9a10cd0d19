"""A diffusion pipeline at work: captions and seeds in, pixels out, in two steps."""

import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
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
        self._decoding = Halving(options.batch_size)
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
        return self._denoising(partial(self._call, steps=steps or self._options.steps), items)

    def finish(self, made: list[Any]) -> list[Frame]:
        """Turn what `denoise` made into pixels, image by image."""
        if not self._latent:
            return [frame for frames in made for frame in frames]
        decoded = [part for latents in made for part in self._decoding(self._decode, latents)]
        return [frame for frames in decoded for frame in frames]

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
        import torch

        vae = self.pipeline.vae
        with torch.inference_mode():
            pixels = vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0]
            frames = self.pipeline.image_processor.postprocess(pixels, output_type="np")
        return np.asarray(frames, np.float32)
