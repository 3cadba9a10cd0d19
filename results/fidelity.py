"""The generator's measured fidelity, as records carry it: does an image show its class?"""

import math

import msgspec

from bench.core.json_values import Json
from bench.core.records import RunRecord
from results.wording import percent

MINIATURE = ("mini", "mini-ssl")
"""Presets of the miniature world."""


class _Accuracy(msgspec.Struct, frozen=True):
    """An oracle classifier's accuracy on one set of images; unknown keys are ignored."""

    accuracy: float
    n: int


class _Settings(msgspec.Struct, frozen=True):
    chance: float
    scheduler: str
    steps: int
    guidance: float


class Measured(msgspec.Struct, frozen=True):
    """The oracle's accuracies on one domain."""

    generated: _Accuracy
    real: _Accuracy
    rebuilt: _Accuracy
    """Real images after the generator's autoencoder."""
    wrong_caption: _Accuracy
    """Images generated for another class: at chance where captions decide the class."""


def recorded(record: RunRecord) -> Json:
    """Return the fidelity of a run's generator; a mixture keeps it with its generated part."""
    parts = [part for part in record.stage_counts.values() if isinstance(part, dict)]
    candidates = [record.fidelity, *(part.get("fidelity") for part in parts)]
    return next((known for known in candidates if isinstance(known, dict) and known), {})


def measured(fidelity: Json, task: str) -> Measured | None:
    """Return what was measured on a task's domain; None where nothing was."""
    domains = fidelity.get("domains", {})
    try:
        msgspec.convert(fidelity.get("settings"), _Settings)
        return msgspec.convert(domains.get(task.removeprefix("mini-")), Measured)
    except msgspec.ValidationError:
        return None


def at_chance(fidelity: Json, task: str) -> bool:
    """Return whether generated images are recognised no better than by guessing (5 %)."""
    known = measured(fidelity, task)
    if known is None:
        return False
    chance = msgspec.convert(fidelity["settings"], _Settings).chance
    noise = math.sqrt(chance * (1 - chance) / max(known.generated.n, 1))
    return known.generated.accuracy <= chance + 1.645 * noise


def describe(fidelity: Json, task: str) -> str:
    """Return the measured fidelity on a task in words."""
    known = measured(fidelity, task)
    if known is None:
        return "generator fidelity: not measured"
    settings = msgspec.convert(fidelity["settings"], _Settings)
    return (
        f"generator fidelity: an oracle classifier reads {percent(known.generated.accuracy)} of "
        f"{known.generated.n} generated images right (real {percent(known.real.accuracy)}, "
        f"encoded and decoded {percent(known.rebuilt.accuracy)}, wrong caption "
        f"{percent(known.wrong_caption.accuracy)}, chance {percent(settings.chance)}; "
        f"{settings.steps} steps of {settings.scheduler}, guidance {settings.guidance:g})"
    )


def caution(fidelity: Json, preset: str, task: str) -> str:
    """Return what must stand beside a miniature result; nothing for any other preset."""
    if preset not in MINIATURE:
        return ""
    return f"miniature world, not comparable with published numbers; {describe(fidelity, task)}"
