"""What kind of model a weights folder holds, and what it lacks, told without loading it."""

import json
from pathlib import Path
from typing import Any

from bench.core.errors import RequestError

CLIP_CONFIG, CLIP_WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
"""Files of open_clip's ``local-dir`` layout."""

ENCODER_CONFIG, ENCODER_WEIGHTS = "config.json", "model.safetensors"
"""Files of an image encoder, as timm writes them for the Hub."""

SOURCE_FILE = ".source.json"
"""File in a fetched folder: what it is a copy of, such as a repository and its commit."""


def is_image_only(folder: Path) -> bool:
    """Return whether a folder is of an image encoder of timm, which has no text tower."""
    return not (folder / CLIP_CONFIG).is_file() and (folder / ENCODER_CONFIG).is_file()


def is_architecture(folder: Path) -> bool:
    """Return whether a folder's configuration declares ``"weights": "none"``.

    It is an architecture, which is trained from scratch. Another folder that lacks its weights is a
    broken one.
    """
    try:
        content = json.loads((folder / CLIP_CONFIG).read_bytes())
    except (OSError, ValueError):  # `checked_config` says what is wrong.
        return False
    return isinstance(content, dict) and content.get("weights") == "none"


def checked_config(folder: Path) -> dict[str, Any]:
    """Return the model's part of a folder's configuration.

    Raises:
        RequestError: If the folder lacks the configuration, or the weights of what is no
            architecture; or, of a CLIP, it does not say how images are preprocessed, or says two
            image sizes: open_clip would go on with OpenAI's, or with one of them.
    """
    image_only = is_image_only(folder)
    if not is_architecture(folder):
        _require(folder, *((ENCODER_CONFIG, ENCODER_WEIGHTS) if image_only else _OF_CLIP))
    file = folder / (ENCODER_CONFIG if image_only else CLIP_CONFIG)
    try:
        content = json.loads(file.read_bytes())
        if image_only:
            return {"architecture": content["architecture"]}
        model, preprocessing = content["model_cfg"], content.get("preprocess_cfg", {})
        size = model["vision_cfg"]["image_size"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(
            f"{file} is not {'timm' if image_only else 'open_clip'}'s: "
            f"{type(error).__name__} {error}",
            "fetch the model again",
        ) from error
    if not {"mean", "std"} <= preprocessing.keys():
        raise RequestError(
            f"{file} has no mean and std in preprocess_cfg, which the model was trained with",
            "add them; open_clip would take OpenAI's",
        )
    given = preprocessing.get("size", size)
    if _square(given) != _square(size):
        raise RequestError(
            f"{file} says image_size {size} in vision_cfg and size {given} in preprocess_cfg",
            "make them equal",
        )
    return dict(model)


_OF_CLIP = (CLIP_CONFIG, CLIP_WEIGHTS)


def _require(folder: Path, *names: str) -> None:
    for name in names:
        if not (folder / name).is_file():
            raise RequestError(
                f"the weights folder {folder} has no {name}",
                "fetch the model again, or give a folder in open_clip's local-dir layout",
            )


def _square(size: int | list[int]) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)
