"""What `bench fetch --model` fetches: weights as safetensors, and the files that belong to them."""

from collections.abc import Sequence
from fnmatch import fnmatch
from functools import partial

from bench.commands._hub import Snapshot, find_snapshot
from bench.core.errors import RequestError, unknown_name
from bench.core.paths import FETCHED, Home, hub_id

_KNOWN = ["*.json", "*.txt", "open_clip_model.safetensors", "*/diffusion_pytorch_model.safetensors"]
_KNOWN += ["text_encoder/model.safetensors"]
_CONFIG_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]
_PIPELINE_FILES = [*_CONFIG_FILES, "*/*.safetensors"]
# A publisher's own format, such as consolidated.safetensors, is the same weights again.
_MODEL_FILES = [*_CONFIG_FILES, "model*.safetensors", "open_clip_model.safetensors"]
_VARIANTS = ["*.fp16.*", "*.non_ema.*", "*.bf16.*"]
"""Further copies of the same weights."""


def model_snapshot(name: str, home: Home) -> Snapshot:
    """Return what there is to fetch of a model.

    Raises:
        RequestError: If nothing that is called so is fetched, or its weights are pickles only.
        BenchError: If the Hub does not answer.
    """
    repository, revision = hub_id(name)
    if name in FETCHED:
        repository = FETCHED[name]
    elif repository is None or revision is None:
        raise unknown_name("model to fetch", name, [*FETCHED, "ORG/NAME@REVISION"])
    folder = home.weights / name
    choose = partial(_chosen, name, repository)
    return find_snapshot(repository, revision, "model", folder, choose)


def _chosen(name: str, repository: str, files: Sequence[str]) -> list[str]:
    """Return the files to fetch of a diffusers pipeline, or of a model of one network.

    Raises:
        RequestError: If its weights are pickles only, which are never loaded.
    """
    patterns = _PIPELINE_FILES if "model_index.json" in files else _MODEL_FILES
    if name in FETCHED:
        patterns = _KNOWN
    chosen = [file for file in files if _fits(file, patterns) and not _fits(file, _VARIANTS)]
    if not any(file.endswith(".safetensors") for file in chosen):
        raise RequestError(
            f"{repository} has no weights as safetensors in the revision of {name}",
            "choose a revision that has them: pickles are not loaded",
        )
    return chosen


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
