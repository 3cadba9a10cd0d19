"""Loading a diffusers pipeline: kind, number format, sampler, device, and what makes it fast."""

from pathlib import Path
from typing import Any

from bench.errors import RequestError
from sources._generator_folder import has_part, pipeline_index
from sources._generator_options import GeneratorOptions

_LONGEST_REASON = 300


def load_pipeline(folder: Path, options: GeneratorOptions, *, of_images: bool) -> Any:  # noqa: ANN401 (a diffusers pipeline)
    """Return a pipeline on the best device there is.

    Args:
        folder: Its folder.
        options: What it is to be like.
        of_images: Whether it starts from images, not from noise.

    Raises:
        RequestError: If the folder holds no such pipeline, or it cannot draw that height.
    """
    import torch
    from diffusers import DDIMScheduler

    pipeline = _load(folder, options, of_images=of_images)
    # Latents are that much smaller; the pipelines themselves ask for 8.
    factor = max(getattr(pipeline, "vae_scale_factor", 8), 8)
    if options.height % factor:
        raise RequestError(
            f"{options.generator!r} cannot draw images {options.height} pixels high",
            f"give a height that {factor} divides",
        )
    if options.scheduler == "ddim":
        # Its eta is 0 where nothing is said (002, appendix A.1).
        pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    on_gpu = torch.cuda.is_available()
    pipeline.to("cuda" if on_gpu else "cpu")
    _speed_up(pipeline, options, on_gpu=on_gpu)
    return pipeline


def _load(folder: Path, options: GeneratorOptions, *, of_images: bool) -> Any:  # noqa: ANN401
    import diffusers
    import torch
    from safetensors import SafetensorError

    _silence()
    kinds = {
        ("stable-diffusion", False): diffusers.StableDiffusionPipeline,
        ("stable-diffusion", True): diffusers.StableDiffusionImg2ImgPipeline,
        ("auto", False): diffusers.AutoPipelineForText2Image,
        ("auto", True): diffusers.AutoPipelineForImage2Image,
    }
    dtypes = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    unwanted = {}
    if options.safety == "off" and has_part(pipeline_index(folder), "safety_checker"):
        unwanted = {"safety_checker": None, "requires_safety_checker": False}
    try:
        return kinds[options.pipeline, of_images].from_pretrained(
            folder,
            dtype=dtypes[options.dtype],
            local_files_only=True,
            use_safetensors=True,  # A pickle could run anything.
            **unwanted,
        )
    except (OSError, ValueError, SafetensorError) as error:
        why = " ".join(str(error).split())[:_LONGEST_REASON]
        raise RequestError(
            f"the generator {folder} does not load: {why}",
            "give a folder that diffusers wrote for such a pipeline, with .safetensors weights; "
            "for others than Stable Diffusion 1 and 2 --set source.pipeline=auto",
        ) from error


def _silence() -> None:
    """Keep the libraries' progress bars and warnings out of ours."""
    from diffusers.utils import logging
    from transformers.utils import logging as transformers_logging

    for library in (logging, transformers_logging):
        library.disable_progress_bar()
        library.set_verbosity_error()


def _speed_up(pipeline: Any, options: GeneratorOptions, *, on_gpu: bool) -> None:  # noqa: ANN401
    import torch

    convolutional = [getattr(pipeline, name, None) for name in ("unet", "vae")]
    if on_gpu if options.channels_last is None else options.channels_last:
        for module in filter(None, convolutional):
            module.to(memory_format=torch.channels_last)
    if options.compile:
        for name in ("unet", "transformer"):
            module = getattr(pipeline, name, None)
            if module is not None:
                module.compile()
