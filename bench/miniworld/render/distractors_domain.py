"""Pictures that are of a domain and show none of its classes: other models, drawings, collages.

A filter by likeness to the domain lets them pass; only one that knows the classes could tell.
"""

from collections.abc import Callable, Sequence

import numpy as np

from bench.miniworld.render.aircraft import draw_aircraft
from bench.miniworld.render.aircraft_models import AIRCRAFT, OTHER_AIRCRAFT
from bench.miniworld.render.backgrounds import garden, sky, street
from bench.miniworld.render.canvas import Canvas, Color, Sketch, jitter
from bench.miniworld.render.car_models import CARS, OTHER_CARS
from bench.miniworld.render.cars import draw_car
from bench.miniworld.render.chances import Chances
from bench.miniworld.render.flower_models import FLOWERS, OTHER_FLOWERS
from bench.miniworld.render.flowers import draw_flower
from bench.miniworld.render.spot import Painter, Spot

_PAPER: Color = (242, 240, 232)
_INK: Color = (52, 54, 66)

_Subject = Callable[[Canvas, str, Chances], None]
_Scene = Callable[[Canvas, np.random.Generator], None]


def _other_model(draw: _Subject, names: Sequence[str]) -> Painter:
    def paint(spot: Spot) -> None:
        draw(spot.canvas, _pick(spot, names), Chances.shared(spot.rng))

    return paint


def _drawing(draw: _Subject, names: Sequence[str]) -> Painter:
    def paint(spot: Spot) -> None:
        paper, ink = jitter(spot.rng, _PAPER, 8.0), jitter(spot.rng, _INK, 25.0)
        spot.canvas.rectangle(0.0, 0.0, 1.0, 1.0, paper)
        draw(Sketch(spot.canvas, paper, ink), _pick(spot, names), Chances.shared(spot.rng))

    return paint


def _collage(draw: _Subject, names: Sequence[str], scene: _Scene) -> Painter:
    def paint(spot: Spot) -> None:
        for left, top in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)):
            tile = spot.canvas.tile()
            scene(tile, spot.rng)
            draw(tile, _pick(spot, names), Chances.shared(spot.rng))
            spot.canvas.paste(tile, left, top)

    return paint


def _pick(spot: Spot, names: Sequence[str]) -> str:
    return names[int(spot.rng.integers(len(names)))]


_PLANES = (*AIRCRAFT, *OTHER_AIRCRAFT)
_AUTOS = (*CARS, *OTHER_CARS)
_BLOSSOMS = (*FLOWERS, *OTHER_FLOWERS)

OF_DOMAIN: dict[str, dict[str, Painter]] = {
    "aircraft": {
        "another aircraft": _other_model(draw_aircraft, tuple(OTHER_AIRCRAFT)),
        "aircraft drawing": _drawing(draw_aircraft, _PLANES),
        "aircraft collage": _collage(draw_aircraft, _PLANES, sky),
    },
    "cars": {
        "another car": _other_model(draw_car, tuple(OTHER_CARS)),
        "car drawing": _drawing(draw_car, _AUTOS),
        "car collage": _collage(draw_car, _AUTOS, street),
    },
    "flowers": {
        "another flower": _other_model(draw_flower, tuple(OTHER_FLOWERS)),
        "flower drawing": _drawing(draw_flower, _BLOSSOMS),
        "flower collage": _collage(draw_flower, _BLOSSOMS, garden),
    },
}
