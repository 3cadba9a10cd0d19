"""Subjects that belong to a domain (or its surroundings) without showing any of its classes."""

import numpy as np

from bench.miniworld.render.aircraft import livery
from bench.miniworld.render.backgrounds import blade
from bench.miniworld.render.canvas import Color, any_color, chance, jitter, pick, shade
from bench.miniworld.render.car_models import CarModel
from bench.miniworld.render.cars import build_car, car_view, paint
from bench.miniworld.render.flower_models import PETAL_COLORS
from bench.miniworld.render.mesh import draw_mesh
from bench.miniworld.render.spot import Painter, Spot

_DARK: Color = (42, 42, 46)
_STEEL: Color = (160, 165, 170)
_GREENS: tuple[Color, ...] = ((60, 110, 50), (90, 140, 70), (45, 80, 45), (120, 150, 80))

_BUS = CarModel(
    style="bus",
    body=((0.0, 0.6), (0.0, 1.2), (10.0, 1.2), (10.0, 0.6)),
    cabin=((0.0, 1.2), (0.15, 2.9), (9.9, 2.9), (10.0, 1.2)),
    panes=tuple((x, x, x + 1.3, x + 1.3) for x in (0.5, 2.0, 3.5, 5.0, 6.5, 8.0)),
    doors=(0.4, 1.6),
    wheels=(2.0, 7.8),
    wheel=0.48,
    width=2.4,
    taper=0.97,
)


def _helicopter(spot: Spot) -> None:
    colors = livery(spot.rng)
    spot.line([(-0.3, 0.0), (-1.4, -0.2)], 0.2, colors["body"])
    spot.polygon([(-1.5, -0.6), (-1.25, -0.2), (-1.4, 0.1)], colors["fin"])
    spot.ellipse((0.2, 0.05), 0.7, 0.45, colors["body"])
    spot.ellipse((0.5, 0.0), 0.35, 0.3, colors["glass"])
    spot.line([(0.1, -0.4), (0.1, -0.65)], 0.1, _DARK)
    slope = spot.rng.uniform(-0.12, 0.12)
    spot.line([(-1.2, -0.65 - slope), (1.4, -0.65 + slope)], 0.09, _DARK)
    spot.line([(-0.4, 0.75), (0.9, 0.75)], 0.07, _DARK)


def _balloon(spot: Spot) -> None:
    stripes = (any_color(spot.rng), any_color(spot.rng))
    for index, width in enumerate((1.0, 0.72, 0.40, 0.12)):
        spot.ellipse((0.0, -0.35), width, 1.05, stripes[index % 2])
    spot.polygon([(-0.55, 0.45), (0.55, 0.45), (0.2, 0.95), (-0.2, 0.95)], stripes[0])
    spot.box(-0.2, 1.1, 0.2, 1.4, (120, 85, 50))


def _dials(spot: Spot, rows: int, columns: int) -> None:
    for row in range(rows):
        for column in range(columns):
            x, y = 0.14 + 0.72 * (column + 0.5) / columns, 0.40 + 0.5 * (row + 0.5) / rows
            spot.canvas.ellipse((x, y), 0.085, 0.085, _STEEL)
            spot.canvas.ellipse((x, y), 0.065, 0.065, (22, 24, 30))
            turn = spot.rng.uniform(0.0, 2.0 * np.pi)
            needle = (x + 0.06 * float(np.cos(turn)), y + 0.06 * float(np.sin(turn)))
            spot.canvas.line([(x, y), needle], 0.015, (240, 240, 230))


def _cockpit(spot: Spot) -> None:
    spot.canvas.rectangle(0.0, 0.32, 1.0, 1.0, jitter(spot.rng, (70, 72, 78), 18.0))
    spot.canvas.rectangle(0.47, 0.0, 0.53, 0.34, _DARK)
    _dials(spot, 2, int(spot.rng.integers(3, 5)))


def _logo(spot: Spot) -> None:
    spot.canvas.rectangle(0.0, 0.0, 1.0, 1.0, jitter(spot.rng, (240, 240, 240), 12.0))
    color = any_color(spot.rng)
    if chance(spot.rng, 0.5):
        spot.ellipse((0.0, -0.3), 0.9, 0.9, color)
        color = (245, 245, 245)
    spot.polygon([(-0.8, 0.0), (0.8, -0.9), (0.2, 0.1), (0.0, -0.2)], color)
    for index in range(int(spot.rng.integers(3, 6))):
        left = -0.9 + 0.4 * index
        spot.box(left, 0.85, left + 0.28, 1.15, _DARK)


def _paper_plane(spot: Spot) -> None:
    color = jitter(spot.rng, (240, 240, 236), 8.0) if chance(spot.rng, 0.6) else any_color(spot.rng)
    drop = spot.rng.uniform(-0.3, 0.5)
    nose = (1.2, -drop)
    spot.polygon([nose, (-1.1, -0.7), (-0.5, 0.0)], color)
    spot.polygon([nose, (-0.5, 0.0), (-0.75, 0.6)], shade(color, 0.7))
    spot.polygon([nose, (-0.75, 0.6), (-0.2, 0.45)], shade(color, 0.86))


def _toy_car(spot: Spot) -> None:
    color = any_color(spot.rng)
    spot.box(-1.1, -0.1, 1.1, 0.45, color)
    spot.polygon([(-0.6, -0.1), (-0.45, -0.6), (0.45, -0.6), (0.6, -0.1)], any_color(spot.rng))
    for x in (-0.65, 0.65):
        spot.ellipse((x, 0.5), 0.36, 0.36, any_color(spot.rng))
        spot.ellipse((x, 0.5), 0.14, 0.14, (240, 240, 235))
    spot.line([(1.1, 0.2), (1.5, -0.5)], 0.06, (235, 225, 200))


def _dashboard(spot: Spot) -> None:
    spot.canvas.rectangle(0.0, 0.45, 1.0, 1.0, jitter(spot.rng, (62, 58, 56), 20.0))
    rim, hole = jitter(spot.rng, (30, 28, 28), 8.0), jitter(spot.rng, (88, 84, 80), 14.0)
    spot.ellipse((0.0, 0.3), 1.1, 1.0, rim)
    spot.ellipse((0.0, 0.3), 0.86, 0.77, hole)
    spot.box(-0.95, 0.2, 0.95, 0.42, rim)
    spot.box(-0.12, 0.3, 0.12, 1.2, rim)
    spot.ellipse((0.0, 0.32), 0.3, 0.26, rim)


def _tractor(spot: Spot) -> None:
    color = any_color(spot.rng)
    spot.box(-0.1, -0.2, 1.1, 0.35, color)
    spot.box(-0.9, -1.0, 0.0, -0.85, _DARK)
    spot.box(-0.85, -0.9, -0.05, 0.2, (150, 175, 190))
    spot.line([(0.7, -0.2), (0.7, -0.75)], 0.1, _DARK)
    spot.ellipse((-0.5, 0.4), 0.75, 0.75, (28, 28, 30))
    spot.ellipse((-0.5, 0.4), 0.36, 0.36, jitter(spot.rng, (225, 190, 60), 20.0))
    spot.ellipse((0.85, 0.7), 0.42, 0.42, (28, 28, 30))


def _bus(spot: Spot) -> None:
    draw_mesh(spot.canvas, build_car(_BUS), car_view(spot.rng), paint(spot.rng), spot.rng)


def _motorbike(spot: Spot) -> None:
    for x in (-0.85, 0.85):
        spot.ellipse((x, 0.5), 0.5, 0.5, (26, 26, 28))
        spot.ellipse((x, 0.5), 0.3, 0.3, _STEEL)
    spot.polygon([(-0.9, 0.4), (-0.3, 0.0), (0.5, 0.1), (0.2, 0.6), (-0.3, 0.65)], _STEEL)
    spot.ellipse((0.15, -0.1), 0.5, 0.24, any_color(spot.rng))
    spot.polygon([(-0.95, -0.25), (-0.2, -0.05), (-0.3, 0.1), (-0.9, 0.0)], _DARK)
    spot.line([(0.85, 0.5), (0.5, -0.55), (0.25, -0.6)], 0.12, _DARK)


def _leaves(spot: Spot) -> None:
    for _ in range(int(spot.rng.integers(12, 22))):
        blade(spot.canvas, spot.rng, pick(spot.rng, _GREENS, 14.0))


def _tulip(spot: Spot) -> None:
    color, green = pick(spot.rng, PETAL_COLORS, 14.0), pick(spot.rng, _GREENS)
    spot.line([(0.0, 0.2), (0.1, 2.0)], 0.14, green)
    spot.polygon([(0.1, 1.8), (0.9, 0.1), (0.45, 1.7)], green)
    spot.polygon(
        [
            (-0.7, -0.9),
            (-0.6, 0.1),
            (0.0, 0.5),
            (0.6, 0.1),
            (0.7, -0.9),
            (0.3, -0.4),
            (0.0, -1.05),
            (-0.3, -0.4),
        ],
        color,
    )
    spot.polygon([(-0.3, -0.4), (0.0, -1.05), (0.3, -0.4), (0.0, 0.5)], shade(color, 0.8))


def _lavender(spot: Spot) -> None:
    color = pick(spot.rng, PETAL_COLORS, 14.0)
    for stalk in (-0.7, 0.0, 0.7):
        lean = spot.rng.normal(0.0, 0.15)
        spot.line([(stalk, 1.6), (stalk + lean, -0.9)], 0.08, pick(spot.rng, _GREENS))
        for step in range(6):
            y = -1.1 + 0.26 * step
            spot.ellipse((stalk + lean, y), 0.2, 0.15, jitter(spot.rng, color, 14.0))


def _fabric(spot: Spot) -> None:
    spot.canvas.rectangle(0.0, 0.0, 1.0, 1.0, any_color(spot.rng))
    color, heart = any_color(spot.rng), any_color(spot.rng)
    count = int(spot.rng.integers(2, 5))
    reach = 0.2 / count
    for row in range(count):
        for column in range(count):
            x, y = (column + 0.5 + 0.25 * (row % 2)) / count, (row + 0.5) / count
            for angle in np.arange(5) * (2.0 * np.pi / 5.0):
                centre = (x + reach * float(np.cos(angle)), y + reach * float(np.sin(angle)))
                spot.canvas.ellipse(centre, 0.85 * reach, 0.85 * reach, color)
            spot.canvas.ellipse((x, y), 0.6 * reach, 0.6 * reach, heart)


NEAR: dict[str, dict[str, Painter]] = {
    "aircraft": {
        "helicopter": _helicopter,
        "hot-air balloon": _balloon,
        "cockpit panel": _cockpit,
        "airline logo": _logo,
        "paper plane": _paper_plane,
    },
    "cars": {
        "toy car": _toy_car,
        "dashboard": _dashboard,
        "tractor": _tractor,
        "bus": _bus,
        "motorbike": _motorbike,
    },
    "flowers": {
        "bouquet of leaves": _leaves,
        "tulip": _tulip,
        "lavender": _lavender,
        "floral fabric": _fabric,
    },
}
