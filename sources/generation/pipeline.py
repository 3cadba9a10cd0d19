"""Loading a diffusers pipeline: kind, number format, sampler, device, and what makes it fast."""

from pathlib import Path
from typing import Any

from bench.core.errors import RequestError
from bench.core.json_values import Json
from sources.generation.checkpoint import has_part, pipeline_index
from sources.generation.options import GeneratorOptions

_LONGEST_REASON = 300


def load_pipeline(folder: Path, options: GeneratorOptions, *, of_images: bool) -> Any:  # noqa: ANN401 (a diffusers pipeline)
    """Return a pipeline on the best device there is.

    Args:
        folder: Its folder.
        options: What it is to be like.
        of_images: Whether it starts from images, not from noise.

    Raises:
        RequestError: If the folder holds no such pipeline, whole.
    """
    pipeline = _load(folder, options, of_images=of_images)
    pipeline.set_progress_bar_config(disable=True)
    _speed_up(pipeline, options, on_gpu=pipeline.device.type == "cuda")
    return pipeline


def _load(folder: Path, options: GeneratorOptions, *, of_images: bool) -> Any:  # noqa: ANN401
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    # What loading ends in where files are missing, cut short, mixed up or malformed.
    unfit = (
        *(OSError, ValueError, TypeError, RuntimeError, AttributeError, ImportError),
        *(LookupError, ArithmeticError, SafetensorError, StrictDataclassError),
    )
    _silence()
    try:
        return _assembled(folder, options, of_images=of_images)
    except unfit as error:
        why = " ".join(str(error).split())[:_LONGEST_REASON]
        raise RequestError(
            f"the generator {folder} does not load: {why}",
            "give a folder that diffusers wrote for such a pipeline, with .safetensors weights; "
            "for others than Stable Diffusion 1 and 2 --set source.generation.pipeline=auto",
        ) from error


def _assembled(folder: Path, options: GeneratorOptions, *, of_images: bool) -> Any:  # noqa: ANN401
    """Return the pipeline with its sampler, on its device."""
    import diffusers
    import torch

    kinds = {
        ("stable-diffusion", False): diffusers.StableDiffusionPipeline,
        ("stable-diffusion", True): diffusers.StableDiffusionImg2ImgPipeline,
        ("auto", False): diffusers.AutoPipelineForText2Image,
        ("auto", True): diffusers.AutoPipelineForImage2Image,
    }
    dtypes = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    index, unwanted = pipeline_index(folder), {}
    if options.safety == "off" and has_part(index, "safety_checker"):
        del index["safety_checker"]
        unwanted = {"safety_checker": None, "requires_safety_checker": False}
    how: dict[str, Any] = {"dtype": dtypes[options.dtype], "local_files_only": True}
    how["use_safetensors"] = True  # A pickle could run anything.
    pipeline = kinds[options.pipeline, of_images].from_pretrained(
        folder, **how, **unwanted, **_transformers_parts(folder, index, how)
    )
    samplers: dict[str, tuple[Any, Json]] = {
        # Its eta is 0 where nothing is said (Geng 2024, code, txt2img.py:347-409).
        "ddim": (diffusers.DDIMScheduler, {}),
        # Karras's levels lie so near to no noise that a strength of 0.1 would lay none at all.
        "dpm++": (diffusers.DPMSolverMultistepScheduler, {"use_karras_sigmas": not of_images}),
    }
    if options.scheduler in samplers:
        kind, more = samplers[options.scheduler]
        original = pipeline.scheduler
        if kind not in original.compatibles:
            raise RequestError(
                f"the scheduler {options.scheduler} does not fit {folder}'s "
                f"{type(original).__name__}",
                "add --set source.generation.scheduler=pipeline",
            )
        pipeline.scheduler = kind.from_config(original.config, **more)
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")


def _transformers_parts(folder: Path, index: Json, how: Json) -> dict[str, Any]:
    """Return the parts that transformers loads: it would fill in missing weights at random.

    Raises:
        ValueError: If weights are missing.
    """
    parts = {}
    for name, part in index.items():
        kind = _transformers_class(part)
        if kind is not None:
            parts[name], report = kind.from_pretrained(
                folder / name, output_loading_info=True, **how
            )
            if report["missing_keys"]:
                raise ValueError(f"{len(report['missing_keys'])} weights of {name} are missing")
    return parts


def _transformers_class(part: object) -> Any:  # noqa: ANN401 (a class)
    """Return the class of a pipeline's part if transformers loads it, else None."""
    import diffusers
    import transformers

    kind: Any = None
    match part:
        case ["transformers", str(named)]:
            kind = getattr(transformers, named, None)
        case [str(pipeline), str(named)]:  # Such as a safety checker.
            kind = getattr(getattr(diffusers.pipelines, pipeline, None), named, None)
    if isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel):
        return kind
    return None


def _silence() -> None:
    """Keep the libraries' progress bars and warnings out of ours."""
    from diffusers.utils import logging
    from transformers.utils import logging as transformers_logging

    for library in (logging, transformers_logging):
        library.disable_progress_bar()
        library.set_verbosity_error()


def _speed_up(pipeline: Any, options: GeneratorOptions, *, on_gpu: bool) -> None:  # noqa: ANN401
    import torch

    if options.dtype == "fp32":
        # By default CUDA's convolutions would round their factors to the 11 bits of TF32.
        torch.backends.cudnn.allow_tf32 = False
    convolutional = [getattr(pipeline, name, None) for name in ("unet", "vae")]
    if on_gpu if options.channels_last is None else options.channels_last:
        for module in filter(None, convolutional):
            module.to(memory_format=torch.channels_last)
    if options.compile:
        for name in ("unet", "transformer"):
            module = getattr(pipeline, name, None)
            if module is not None:
                # Each size of a batch for itself: what is compiled for any size is slower.
                module.compile(dynamic=False)
