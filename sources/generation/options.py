"""What a user may say about how images are generated."""

from typing import Annotated, Literal

import msgspec

from bench.core.config import Config, Positive, WeightsText
from bench.core.json_values import Json


class GeneratorOptions(Config, frozen=True, kw_only=True):
    """How images are generated.

    DDIM, its steps and the guidance are the paper's (Geng 2024, appendix A.1); eta and the sizes
    are its authors' code's (txt2img.py:347-409).
    """

    model: WeightsText
    """A diffusers pipeline folder by name or path, or ORG/NAME@REVISION of the Hugging Face Hub."""
    pipeline: Literal["stable-diffusion", "auto"] = "stable-diffusion"
    """``auto`` takes whatever text-to-image pipeline the folder says it is: SDXL, SD 3, Flux, …"""
    scheduler: Literal["ddim", "dpm++", "pipeline"] = "ddim"
    """DDIM with eta 0; DPM-Solver++ of second order, which does with fewer steps, for
    new images at Karras et al.'s noise levels; or the pipeline's own, the default with auto."""
    steps: Positive = 50
    """Steps of the sampler for each image."""
    guidance: Annotated[float, msgspec.Meta(ge=0)] = 2.5
    """Scale of the classifier-free guidance; above 1, images follow their captions more."""
    height: Positive = 512
    """Side of the square that is generated, in pixels."""
    safety: Literal["off", "flag", "drop"] = "off"
    """What the pipeline's own safety checker is for: nothing, a note, or leaving images out."""
    dtype: Literal["fp32", "fp16", "bf16"] = "fp32"
    """Where fp16 cannot hold what the decoder computes, that image is decoded in float32."""
    attention: Literal["fused", "math"] = "fused"
    """PyTorch's fused attention kernels, or its plain one."""
    channels_last: bool | None = None
    """Memory layout of the convolutions; None for on with CUDA (not measured on CUDA), off on a CPU
    (docs/synthetic.md). Like the next two, a matter of speed: only rounding differs."""
    compile: bool = False
    """Whether torch.compile is used: minutes to begin with, then faster (docs/synthetic.md; not
    measured on CUDA). It is compiled for one size: a smaller last batch is filled up."""
    batch_size: Positive = 16
    """Images generated at once (not measured on CUDA); halved when memory runs out."""
    shard_size: Positive = 1000
    """Images that a kill may cost."""

    @classmethod
    def complete(cls, values: Json) -> Json:
        """Return values with the scheduler that the pipeline is used with."""
        usual = "pipeline" if values.get("pipeline") == "auto" else "ddim"
        given = values.get("scheduler")
        return {**values, "scheduler": usual if given is None else given}

    @property
    def recipe(self) -> Json:
        """The options that decide what the images are, rounding apart."""
        names = ["pipeline", "scheduler", "steps", "guidance", "height", "safety", "dtype"]
        names += ["shard_size"]
        return {name: getattr(self, name) for name in names}

    @property
    def summary(self) -> Json:
        """What an image set says about how it was generated."""
        return {name: getattr(self, name) for name in ("model", "steps", "guidance", "safety")}
