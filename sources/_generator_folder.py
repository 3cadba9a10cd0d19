"""Where a generator's pipeline folder is, and whether it is one that can do what is asked."""

from pathlib import Path

import msgspec

from bench.errors import RequestError
from bench.paths import Home, hub_id
from bench.types import Json
from sources._generator_options import GeneratorOptions

_MAX_INDEX_BYTES = 100_000


def generator_folder(name: str, home: Home) -> Path:
    """Return a generator's folder by name or path, or from the Hugging Face Hub's local cache.

    Raises:
        RequestError: If it is not on this machine, or a Hub id lacks its revision.
    """
    repository, revision = hub_id(name)
    if repository is None or (home.weights / name).is_dir() or Path(name).is_dir():
        return home.find_weights(name)
    if revision is None:
        raise RequestError(
            f"{name!r} is no folder, and as a Hub id it may mean other weights tomorrow",
            f"pin it: {name}@REVISION, where the revision is a commit or a tag",
        )
    return _cached(repository, revision, home)


def check_generator(options: GeneratorOptions, home: Home) -> Path:
    """Return the generator's folder, having made sure that it can do what is asked.

    Raises:
        RequestError: If it is not here, is no pipeline, or has no safety checker to ask.
    """
    folder = generator_folder(options.generator, home)
    index = pipeline_index(folder)
    if options.safety != "off" and not has_part(index, "safety_checker"):
        raise RequestError(
            f"safety={options.safety} needs a safety checker, and {options.generator!r} has none",
            "take a pipeline folder that has one, or --set source.safety=off",
        )
    return folder


def pipeline_index(folder: Path) -> Json:
    """Return what a pipeline folder says it is made of.

    Raises:
        RequestError: If it says nothing.
    """
    path = folder / "model_index.json"
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_INDEX_BYTES)
        return dict(msgspec.json.decode(content, type=dict[str, object]))
    except (OSError, msgspec.MsgspecError) as error:
        raise RequestError(
            f"the generator {folder} does not load: no readable model_index.json",
            "give a folder that diffusers wrote for a text-to-image pipeline",
        ) from error


def has_part(index: Json, name: str) -> bool:
    """Return whether a pipeline has a part of that name."""
    part = index.get(name)
    return isinstance(part, list) and part[:1] != [None]


def _cached(repository: str, revision: str, home: Home) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # Never the network: only `bench fetch` downloads.
        return Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError as error:
        name = f"{repository}@{revision}"
        raise RequestError(
            f"the generator {name!r} is neither in {home.weights} nor in the Hub's local cache",
            f"fetch it with `bench fetch --model {name}`",
        ) from error
