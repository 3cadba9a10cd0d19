"""Pictures of flowers: layers of petals under an affine tilt over leaves."""

from collections.abc import Callable
from functools import cache

import numpy as np

from bench.miniworld.render.canvas import (
    Canvas,
    Color,
    FloatArray,
    any_color,
    chance,
    jitter,
    pick,
    shade,
)
from bench.miniworld.render.chances import Chances
from bench.miniworld.render.flower_models import (
    FLOWERS,
    OTHER_FLOWERS,
    PETAL_COLORS,
    FlowerModel,
)

_TYPICAL_COLOR_SHARE = 0.4
_STAIN: Color = (40, 24, 34)
_MODELS = FLOWERS | OTHER_FLOWERS

Feature = Callable[["_Blossom", FlowerModel, np.random.Generator], None]


class _Blossom:
    """The plane of one flower, from polar coordinates to the frame."""

    def __init__(self, canvas: Canvas, rng: np.random.Generator, overrun: float) -> None:
        radius = rng.uniform(0.37, 0.48)
        slack = max(0.0, 0.5 - radius) * 0.85
        tilt, axis = rng.uniform(0.55, 1.0), rng.uniform(0.0, np.pi)
        cos, sin = np.cos(axis), np.sin(axis)
        turn = np.array([[cos, -sin], [sin, cos]])
        self.canvas = canvas
        self.matrix = turn @ np.diag([radius, radius * tilt]) @ turn.T
        self.centre = 0.5 + rng.uniform(-slack, slack, 2) + rng.choice([-1.0, 1.0]) * overrun
        self.radius = radius
        self.start = rng.uniform(0.0, 2.0 * np.pi)

    def polygon(self, points: FloatArray, color: Color, outline: Color | None = None) -> None:
        """Fill a polygon given in radii of the flower, [K, 2]."""
        self.canvas.polygon(points @ self.matrix.T + self.centre, color, outline)

    def disc(self, radius: float, color: Color) -> None:
        """Fill a disc about the centre."""
        angles = np.linspace(0.0, 2.0 * np.pi, 18, endpoint=False)
        self.polygon(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), color)

    def ray(self, angle: float, reach: tuple[float, float], width: float, color: Color) -> None:
        """Draw a radial line between two distances from the centre."""
        direction = np.array([np.cos(angle), np.sin(angle)])
        ends = np.outer(reach, direction) @ self.matrix.T + self.centre
        self.canvas.line(ends, width * self.radius, color)


def draw_flower(canvas: Canvas, name: str, chances: Chances, overrun: float = 0.0) -> None:
    """Draw one flower in a random pose and colour, `overrun` outside of the frame."""
    model, rng = _MODELS[name], chances.paint
    blossom = _Blossom(canvas, chances.view, overrun)
    _stem(blossom, chances)
    if model.pad:
        _pad(blossom, rng)
    color = petal_color(model, rng)
    count = int(rng.integers(model.petals[0], model.petals[1] + 1))
    for layer in range(model.layers):
        _petal_layer(blossom, model, (count, layer, color), rng)
    centre = shade(pick(rng, model.centres), rng.uniform(0.85, 1.1))
    if model.feature in _UNDER_CENTRE:
        _UNDER_CENTRE[model.feature](blossom, model, rng)
    blossom.disc(model.centre, centre)
    if model.feature == "seeds":
        blossom.disc(0.6 * model.centre, shade(centre, 0.65))
    elif model.feature == "trumpet":
        blossom.disc(0.68 * model.centre, shade(centre, 0.62))


def petal_color(model: FlowerModel, rng: np.random.Generator) -> Color:
    """Sample a colour of petals that is only weakly linked to the species."""
    if chance(rng, _TYPICAL_COLOR_SHARE):
        return pick(rng, model.typical)
    return pick(rng, PETAL_COLORS) if chance(rng, 0.6) else any_color(rng)


@cache
def _petal(outline: str, width: float) -> FloatArray:
    """Return the outline of a petal along the x axis, from 0 to 1, float64 [K, 2]."""
    along = np.linspace(0.0, 1.0, 9)
    bulge = {
        "round": np.sin(np.pi * along**1.4) ** 0.65,
        "pointed": 1.25 * np.sin(np.pi * along**0.8) ** 1.1 * (1.0 - along) ** 0.35,
        "oval": np.sin(np.pi * along) ** 0.85,
        "notched": np.sin(np.pi * along**1.6) ** 0.6,
    }[outline]
    half = np.nan_to_num(bulge) * width / 2.0
    edge = np.stack([along, half], axis=1)
    if outline == "notched":
        edge = np.concatenate([edge[:-1], [[0.98, 0.24 * width], [0.80, 0.0]]])
    return np.concatenate([edge, (edge * [1.0, -1.0])[::-1]])


def _petal_layer(
    blossom: _Blossom,
    model: FlowerModel,
    layer: tuple[int, int, Color],
    rng: np.random.Generator,
) -> None:
    count, level, color = layer
    petal = _petal(model.outline, model.width) * (1.0 - model.step * level)
    start = blossom.start + level * np.pi / count
    angles = start + np.arange(count) * (2.0 * np.pi / count) + rng.normal(0.0, 0.04, count)
    lengths = rng.uniform(0.93, 1.03, count)
    # Neighbours and layers differ in brightness, else many petals melt into one disc at 32x32.
    tones = (0.80 + 0.10 * (np.arange(count) * 7 % 3)) * (1.0 - 0.16 * (level % 2))
    for angle, length, tone in zip(angles, lengths, tones, strict=True):
        cos, sin = np.cos(angle), np.sin(angle)
        turned = petal @ np.array([[cos, sin], [-sin, cos]]) * length
        blossom.polygon(turned, shade(color, tone), shade(color, 0.66 * tone))


def _stem(blossom: _Blossom, chances: Chances) -> None:
    x, y = blossom.centre
    foot = (x + chances.view.normal(0.0, 0.12), 1.02)
    blossom.canvas.line([(x, y), foot], 0.03, jitter(chances.paint, (65, 112, 55), 12.0))


def _pad(blossom: _Blossom, rng: np.random.Generator) -> None:
    angles = np.linspace(0.3, 6.0, 16) + blossom.start
    rim = 1.12 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    blossom.polygon(np.concatenate([rim, np.zeros((1, 2))]), jitter(rng, (62, 118, 66), 14.0))


def _star(blossom: _Blossom, model: FlowerModel, rng: np.random.Generator) -> None:
    color = pick(rng, model.centres)
    for index in range(model.petals[0]):
        angle = blossom.start + 2.0 * np.pi * index / model.petals[0]
        blossom.ray(angle, (0.0, 0.36), 0.14, color)


def _corona(blossom: _Blossom, model: FlowerModel, rng: np.random.Generator) -> None:
    color = pick(rng, ((96, 66, 170), (66, 66, 185), (150, 60, 130)))
    blossom.disc(0.42, shade((235, 230, 235), rng.uniform(0.8, 1.0)))
    for index in range(20):
        blossom.ray(2.0 * np.pi * index / 20.0, (model.centre, 0.62), 0.07, color)


def _blotches(blossom: _Blossom, model: FlowerModel, rng: np.random.Generator) -> None:
    stain = jitter(rng, _STAIN, 8.0)
    for index in range(model.petals[0]):
        angle = blossom.start + 2.0 * np.pi * index / model.petals[0]
        blossom.ray(angle, (0.1, 0.44), 0.17, stain)


_UNDER_CENTRE: dict[str, Feature] = {"star": _star, "corona": _corona, "blotches": _blotches}
