"""From the name of a subject to a finished picture."""

import difflib
from collections.abc import Callable, Iterable

import numpy as np

from bench.miniworld.render.aircraft import draw_aircraft
from bench.miniworld.render.aircraft_models import AIRCRAFT
from bench.miniworld.render.backgrounds import (
    anywhere,
    caption_strip,
    garden,
    occlude,
    sky,
    street,
)
from bench.miniworld.render.canvas import Canvas, Image8, chance
from bench.miniworld.render.car_models import CARS
from bench.miniworld.render.cars import draw_car
from bench.miniworld.render.chances import Chances, Fixed
from bench.miniworld.render.distractors_domain import OF_DOMAIN
from bench.miniworld.render.distractors_far import FAR
from bench.miniworld.render.distractors_near import NEAR
from bench.miniworld.render.flower_models import FLOWERS
from bench.miniworld.render.flowers import draw_flower
from bench.miniworld.render.spot import Spot

OTHER = "other"

CLASSES: dict[str, tuple[str, ...]] = {
    "aircraft": tuple(AIRCRAFT),
    "cars": tuple(CARS),
    "flowers": tuple(FLOWERS),
}
_NEAR = {domain: NEAR[domain] | OF_DOMAIN[domain] for domain in CLASSES}
DISTRACTORS: dict[str, tuple[str, ...]] = {name: () for name in FAR} | {
    name: (domain,) for domain, painters in _NEAR.items() for name in painters
}

_Scene = Callable[[Canvas, np.random.Generator], None]
_Subject = Callable[[Canvas, str, Chances, float], None]

_SCENES: dict[str, _Scene] = {"aircraft": sky, "cars": street, "flowers": garden}
_SUBJECTS: dict[str, _Subject] = {
    "aircraft": draw_aircraft,
    "cars": draw_car,
    "flowers": draw_flower,
}
_PAINTERS = FAR | {
    name: painter for painters in _NEAR.values() for name, painter in painters.items()
}
_ATTRIBUTES: dict[str, dict[str, dict[str, object]]] = {
    "aircraft": {name: model.attributes() for name, model in AIRCRAFT.items()},
    "cars": {name: model.attributes() for name, model in CARS.items()},
    "flowers": {name: model.attributes() for name, model in FLOWERS.items()},
}

_ODD_SCENE_SHARE = 0.05
_CROPPED_SHARE = 0.03
_OCCLUDED_SHARE = 0.06
_CAPTION_SHARE = 0.04
_CROP = 0.12


def render(domain: str, name: str, seed: int, size: int = 32, fixed: Fixed | None = None) -> Image8:
    """Render one picture, which depends only on the arguments.

    Args:
        domain: a key of CLASSES, or "other" for a distractor.
        name: a class of the domain, or a key of DISTRACTORS.
        seed: number of the picture, not negative.
        size: width and height in pixels.
        fixed: aspects of a class's picture that seeds of their own decide.

    Returns:
        RGB picture, uint8 [size, size, 3].

    Raises:
        ValueError: if the domain, the name, a seed, the size or an aspect is not valid.
    """
    chances = checked_chances(domain, name, seed, size, fixed)
    canvas = Canvas(size)
    compose(canvas, domain, name, chances)
    return canvas.develop(chances.view, chances.own)


def compose(canvas: Canvas, domain: str, name: str, chances: Chances) -> None:
    """Put the scene, the subject and what stands in front of it onto a canvas."""
    backdrop = chances.backdrop
    if domain == OTHER:
        # What is near a domain stands in that domain's scenery.
        scene = next((_SCENES[near] for near in DISTRACTORS[name]), anywhere)
        scene(canvas, backdrop)
        _PAINTERS[name](Spot(canvas, chances.own))
    else:
        scene = anywhere if chance(backdrop, _ODD_SCENE_SHARE) else _SCENES[domain]
        scene(canvas, backdrop)
        overrun = _CROP if chance(chances.view, _CROPPED_SHARE) else 0.0
        canvas.on_subject = True
        _SUBJECTS[domain](canvas, name, chances, overrun)
        canvas.on_subject = False
    if chance(backdrop, _OCCLUDED_SHARE):
        occlude(canvas, backdrop)
    if chance(backdrop, _CAPTION_SHARE):
        caption_strip(canvas, backdrop)


def checked_chances(domain: str, name: str, seed: int, size: int, fixed: Fixed | None) -> Chances:
    """Return a picture's random numbers; see `render`."""
    _check(domain, name)
    if seed < 0 or size < 1:
        raise ValueError(f"seed must be >= 0 and size >= 1, got seed={seed}, size={size}")
    if domain == OTHER and fixed:
        raise ValueError(f"nothing of a distractor can be fixed, got {name!r}")
    return Chances.of(domain, name, seed, fixed or {})


def attributes(domain: str, name: str) -> dict[str, object]:
    """Return the structural attributes that define a class, or {} for a distractor.

    Raises:
        ValueError: if the domain or the name is not valid.
    """
    _check(domain, name)
    return {} if domain == OTHER else dict(_ATTRIBUTES[domain][name])


def _check(domain: str, name: str) -> None:
    names = {**CLASSES, OTHER: tuple(DISTRACTORS)}
    if domain not in names:
        raise ValueError(_unknown("domain", domain, names))
    if name not in names[domain]:
        raise ValueError(_unknown(f"name in domain {domain!r}", name, names[domain]))


def _unknown(what: str, given: str, valid: Iterable[str]) -> str:
    choices = list(valid)
    near = difflib.get_close_matches(given, choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {what}: {given!r}.{hint} Valid names: {', '.join(choices)}"
