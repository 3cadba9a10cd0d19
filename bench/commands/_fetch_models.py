"""What `bench fetch --model` fetches: weights as safetensors, and the files that belong to them."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from functools import partial

from bench.commands._hub import Snapshot, find_snapshot
from bench.core.errors import RequestError, unknown_name
from bench.core.model_names import (
    FETCHED,
    HOW_TO_NAME,
    RELEASED,
    Tagged,
    how_to_fetch,
    hub_id,
    tagged,
)
from bench.core.paths import Home

_CONFIG_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
_VARIANTS = ("*.fp16.*", "*.non_ema.*", "*.bf16.*")
"""Further copies of the same weights."""

_OPEN_CLIP_CONFIG, _PIPELINE_CONFIG = "open_clip_config.json", "model_index.json"


def model_snapshot(name: str, home: Home) -> Snapshot:
    """Return what there is to fetch of a model.

    Raises:
        RequestError: If nothing that is called so is fetched, its weights are pickles only, or they
            are a file that has to be got by hand.
        BenchError: If the Hub does not answer.
    """
    if name in RELEASED:
        raise RequestError(f"no command downloads the weights of {name}", how_to_fetch(name))
    repository, revision = hub_id(name)
    if name in FETCHED:
        repository = FETCHED[name]
    elif model := tagged(name):
        repository = _repository(model)
    elif repository is None or (revision is None and not name.startswith("timm:")):
        raise unknown_name("model to fetch", name, [*FETCHED, *RELEASED, *HOW_TO_NAME])
    choose = partial(_chosen, name, repository)
    return find_snapshot(repository, revision, "model", home.weights_folder(name), choose)


def _repository(model: Tagged) -> str:
    """Return where on the Hub the weights of a model of open_clip are.

    Raises:
        RequestError: If open_clip does not know them, does not have them from the Hub, or builds
            the model with another activation than they were trained with.
    """
    import open_clip

    architecture, tag = model
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        known = tags or open_clip.list_models()
        kind = f"weights of {architecture}" if tags else "model of open_clip"
        raise unknown_name(kind, tag if tags else architecture, known)
    weights = open_clip.get_pretrained_cfg(architecture, tag)
    built_quick = bool((open_clip.get_model_config(architecture) or {}).get("quick_gelu"))
    if built_quick != bool(weights.get("quick_gelu")):
        names = {True: "QuickGELU", False: "GELU"}
        raise RequestError(
            f"{architecture} is built with {names[built_quick]}, and its weights {tag} were "
            f"trained with {names[not built_quick]}",
            f"take {_with_other_activation(architecture)}:{tag}",
        )
    repository = str(weights.get("hf_hub", "")).rpartition("/")[0]
    if not repository:
        raise RequestError(
            f"open_clip has {architecture}:{tag} from another place than the Hub",
            "convert its weights to safetensors in a folder, and give that",
        )
    return repository


def _with_other_activation(architecture: str) -> str:
    quick = "-quickgelu"
    return architecture.removesuffix(quick) if quick in architecture else architecture + quick


def _chosen(name: str, repository: str, files: Sequence[str]) -> list[str]:
    """Return the files to fetch of a CLIP, a diffusers pipeline or a model of one network.

    Raises:
        RequestError: If its weights are pickles only, which are never loaded.
    """
    weights: Callable[[str], bool]
    if _PIPELINE_CONFIG in files:
        # Files of all parts in one are not those that diffusers reads.
        weights = partial(_fits, patterns=("*/*.safetensors",))
    elif _OPEN_CLIP_CONFIG in files:
        # Beside them may be the same weights as transformers has them.
        weights = "open_clip_model.safetensors".__eq__
    else:
        weights = partial(_fits, patterns=("model*.safetensors",))
    chosen = [file for file in files if weights(file) and not _fits(file, _VARIANTS)]
    if not chosen:
        raise RequestError(
            f"{repository} has no weights as safetensors in the revision of {name}",
            "choose a revision that has them: pickles are not loaded",
        )
    return chosen + [file for file in files if _fits(file, _CONFIG_FILES)]


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
