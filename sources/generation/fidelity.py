"""The fidelity that was measured for the miniature world's generator, and ships beside it."""

from pathlib import Path
from typing import Any

import msgspec

from bench.core.json_values import Json
from sources.generation.options import GeneratorOptions

_MAX_BYTES = 1_000_000


class _Settings(msgspec.Struct, frozen=True):
    scheduler: str
    steps: int
    guidance: float
    chance: float


class _Fidelity(msgspec.Struct, frozen=True):
    settings: _Settings
    domains: dict[str, dict[str, Any]]


def fidelity(folder: Path, options: GeneratorOptions) -> Json:
    """Return what was measured for a generator; nothing where that does not hold for these images.

    It holds for the miniature world's generator, in the folder that it was trained into, with the
    sampler, the steps and the guidance that it was measured with.

    Args:
        folder: The generator's folder.
        options: How it samples.
    """
    if folder.name != "stable-diffusion" or not folder.with_name("oracle.safetensors").is_file():
        return {}
    try:
        with folder.with_name("fidelity.json").open("rb") as stream:
            content = stream.read(_MAX_BYTES)
        settings = msgspec.json.decode(content, type=_Fidelity).settings
        measured: Json = msgspec.json.decode(content, type=Json)
    except (OSError, RecursionError, msgspec.MsgspecError):
        return {}
    same = ("scheduler", "steps", "guidance")
    return measured if all(getattr(settings, k) == getattr(options, k) for k in same) else {}
