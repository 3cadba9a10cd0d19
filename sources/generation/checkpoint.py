"""Where a generator's pipeline folder is, and whether it is one that can do what is asked."""

from pathlib import Path

import msgspec

from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.missing import MissingError
from bench.core.model_names import fetchable, hub_id
from bench.core.paths import Home
from sources.generation.options import GeneratorOptions

_MAX_CONFIG_BYTES = 100_000
_MOST_HALVINGS = 16
_STABLE_DIFFUSION = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
_MOVING = ("main", "master", "head")
"""Revisions that are other weights tomorrow."""


def generator_folder(name: str, home: Home) -> Path:
    """Return a generator's folder by name or path, or from the Hugging Face Hub's local cache.

    Raises:
        RequestError: If it is not on this machine, or a Hub id lacks its revision.
    """
    repository, revision = hub_id(name)
    if repository is None or (home.weights / name).is_dir() or Path(name).is_dir():
        return home.find_weights(name)
    if revision is None or revision.lower() in _MOVING:
        raise RequestError(
            f"{name!r} is not a folder, and as a Hub id it may mean other weights tomorrow",
            f"pin it: {repository}@REVISION, where the revision is a commit or a tag",
        )
    return _cached(repository, revision, home)


def check_generator(options: GeneratorOptions, home: Home) -> Path:
    """Return the generator's folder, having made sure that it can do what is asked.

    Raises:
        RequestError: If it is missing, is not such a pipeline, has no safety checker, or
            cannot generate that height or in so many steps.
    """
    folder = generator_folder(options.model, home)
    index = pipeline_index(folder)
    if options.safety != "off" and not has_part(index, "safety_checker"):
        raise RequestError(
            f"safety={options.safety} needs a safety checker, and {options.model!r} has none",
            "take a pipeline folder that has one, or --set source.generation.safety=off",
        )
    kind = index.get("_class_name")
    if options.pipeline == "stable-diffusion" and kind not in _STABLE_DIFFUSION:
        raise RequestError(
            f"the generator {options.model!r} is not Stable Diffusion 1 or 2, but {kind!r}",
            "add --set source.generation.pipeline=auto",
        )
    if has_part(index, "vae"):
        _check_height(folder, options)
    if has_part(index, "scheduler"):
        _check_steps(folder, options)
    return folder


def _check_height(folder: Path, options: GeneratorOptions) -> None:
    config = _read_json(folder, "vae/config.json")
    levels = config.get("block_out_channels", config.get("encoder_block_out_channels"))
    # Latents are that much smaller; the pipelines themselves ask for 8.
    halvings = len(levels) - 1 if isinstance(levels, list) else 3
    factor = 2 ** min(max(halvings, 3), _MOST_HALVINGS)
    if options.height % factor:
        raise RequestError(
            f"{options.model!r} cannot generate images {options.height} pixels high",
            f"give a height that {factor} divides",
        )


def _check_steps(folder: Path, options: GeneratorOptions) -> None:
    config = _read_json(folder, "scheduler/scheduler_config.json")
    # Where it does not say, every sampler of diffusers takes 1000.
    limits = [config.get("num_train_timesteps", 1000)]
    if options.scheduler == "pipeline":
        # A consistency model's sampler skips among so many.
        limits += [config.get("original_inference_steps", 1000)]
    for most in limits:
        if not isinstance(most, int) or options.steps > most:
            raise RequestError(
                f"{options.model!r} takes {most!r} steps at most; {options.steps} are asked for",
                "give fewer steps, or a generator that takes as many",
            )


def pipeline_index(folder: Path) -> Json:
    """Return what a pipeline folder says it is made of.

    Raises:
        RequestError: If it says nothing.
    """
    return _read_json(folder, "model_index.json")


def has_part(index: Json, name: str) -> bool:
    """Return whether a pipeline has a part of that name."""
    part = index.get(name)
    return isinstance(part, list) and part[:1] != [None]


def _read_json(folder: Path, name: str) -> Json:
    try:
        with (folder / name).open("rb") as stream:
            content = stream.read(_MAX_CONFIG_BYTES)
        return dict(msgspec.json.decode(content, type=dict[str, object]))
    except (OSError, RecursionError, msgspec.MsgspecError) as error:
        raise RequestError(
            f"the generator {folder} does not load: no readable {name}",
            "give a folder that diffusers wrote for a text-to-image pipeline",
        ) from error


def _cached(repository: str, revision: str, home: Home) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # Never the network: only `bench fetch` downloads.
        return Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except HFValidationError as error:
        raise RequestError(
            f"{repository!r} is neither a folder nor an id of the Hub",
            "give a folder or ORG/NAME@REVISION",
        ) from error
    except LocalEntryNotFoundError as error:
        name = f"{repository}@{revision}"
        raise MissingError(
            f"the generator {name!r} is neither in {home.weights} nor in the Hub's local cache",
            f"fetch it with `bench fetch --model {name}`",
            fetchable(name),
        ) from error
