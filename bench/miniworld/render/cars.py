"""Pictures of cars: extruded side profiles over a random street or field."""

import itertools
import math
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
from bench.miniworld.render.car_models import CARS, OTHER_CARS, CarModel
from bench.miniworld.render.chances import Chances
from bench.miniworld.render.mesh import SHADOW, Mesh, MeshBuilder, View, draw_mesh

_PAINTS: tuple[Color, ...] = (
    (200, 35, 38),
    (35, 65, 150),
    (238, 238, 236),
    (38, 38, 42),
    (150, 155, 160),
    (228, 190, 50),
    (40, 110, 65),
    (125, 70, 35),
    (95, 170, 200),
    (200, 185, 150),
)
_SILL = 0.25
_MODELS = CARS | OTHER_CARS


def draw_car(canvas: Canvas, name: str, chances: Chances, overrun: float = 0.0) -> None:
    """Draw one car in a random pose and paint, `overrun` outside of the frame."""
    view, colors = car_view(chances.view), paint(chances.paint)
    draw_mesh(canvas, car_mesh(name), view, colors, chances.view, overrun)


def car_view(rng: np.random.Generator) -> View:
    """Sample a view of either side, turned to show some of the front or the rear."""
    return View(
        yaw=rng.uniform(-0.5, 0.5),
        elevation=rng.uniform(0.08, 0.45),
        tilt=np.radians(rng.normal(0.0, 2.5)),
        mirrored=chance(rng, 0.5),
    )


def paint(rng: np.random.Generator) -> dict[str, Color]:
    """Sample the colours of a car, independent of its model."""
    body = pick(rng, _PAINTS) if chance(rng, 0.85) else any_color(rng)
    dark = jitter(rng, (40, 38, 38), 6.0)
    return {
        "body": body,
        "dark": dark,
        "tyre": jitter(rng, (26, 26, 28), 5.0),
        "hub": shade((172, 174, 178), rng.uniform(0.45, 1.2)),
        "glass": shade((78, 94, 112), rng.uniform(0.5, 1.7)),
        "seam": shade(body, 0.55),
        "lamp": jitter(rng, (250, 244, 205), 10.0),
        "tail lamp": jitter(rng, (205, 30, 30), 15.0),
        SHADOW: shade((62, 62, 66), rng.uniform(0.5, 1.1)),
    }


@cache
def car_mesh(name: str) -> Mesh:
    """Build the mesh of a model of car."""
    return build_car(_MODELS[name])


def build_car(model: CarModel) -> Mesh:
    """Build a mesh from the dimensions of a car."""
    builder = MeshBuilder()
    half = model.width / 2.0
    end = max(x for x, _ in model.body)
    builder.plate(_ground(-0.1, end + 0.1, half * 1.1), SHADOW)
    _add_body(builder, model, half)
    _add_cabin(builder, model, half)
    _add_panes(builder, model, half)
    _add_ends(builder, model, half, end)
    for axle in model.wheels:
        _add_wheel(builder, model, axle, half)
    if model.bed[1]:
        _add_bed(builder, model, half)
    if model.spare:
        middle = (-end / 2.0, 0.0, 1.0)
        rim = [(-end - 0.12, y, z) for y, z in _circle(0.0, 1.0, 0.40)]
        builder.panel(rim, "tyre", middle, layer=3)
    return builder.build()


def _ground(front: float, rear: float, half: float) -> FloatArray:
    angles = np.linspace(0.0, 2.0 * np.pi, 12, endpoint=False)
    middle, reach = (front + rear) / 2.0, (rear - front) / 2.0
    return np.stack(
        [-middle + reach * np.cos(angles), half * 1.15 * np.sin(angles), np.zeros(12)], axis=1
    )


def _circle(first: float, second: float, radius: float) -> list[tuple[float, float]]:
    angles = np.linspace(0.0, 2.0 * np.pi, 12, endpoint=False).tolist()
    return [(first + radius * math.cos(turn), second + radius * math.sin(turn)) for turn in angles]


def _add_body(builder: MeshBuilder, model: CarModel, half: float) -> None:
    front, rear = model.body[0][0], model.body[-1][0]
    outline = ((front, _SILL), *model.body, (rear, _SILL))
    middle = (-(front + rear) / 2.0, 0.0, 0.5)
    for (x, z), (next_x, next_z) in itertools.pairwise(outline):
        quad = [(-x, -half, z), (-x, half, z), (-next_x, half, next_z), (-next_x, -half, next_z)]
        builder.panel(quad, "body", middle, layer=1)
    for side in (-half, half):
        builder.panel([(-x, side, z) for x, z in outline], "body", middle, layer=1)


def _cabin_half(model: CarModel, half: float, z: float) -> float:
    foot, roof = model.cabin[0][1], max(height for _, height in model.cabin)
    return half * (0.97 - (0.97 - model.taper) * (z - foot) / (roof - foot))


def _add_cabin(builder: MeshBuilder, model: CarModel, half: float) -> None:
    cabin = model.cabin
    middle = (-float(np.mean([x for x, _ in cabin])), 0.0, cabin[0][1])
    last = len(cabin) - 2
    for index, ((x, z), (next_x, next_z)) in enumerate(itertools.pairwise(cabin)):
        glass = index == 0 or (index == last and model.rear_glass)
        wide, next_wide = _cabin_half(model, half, z), _cabin_half(model, half, next_z)
        quad = [
            (-x, -wide, z),
            (-x, wide, z),
            (-next_x, next_wide, next_z),
            (-next_x, -next_wide, next_z),
        ]
        builder.panel(quad, "glass" if glass else model.roof, middle, layer=2)
    for side in (-1.0, 1.0):
        wall = [(-x, side * _cabin_half(model, half, z), z) for x, z in cabin]
        builder.panel(wall, model.roof, middle, layer=2)


def _add_panes(builder: MeshBuilder, model: CarModel, half: float) -> None:
    foot = max(model.cabin[0][1], model.cabin[-1][1]) + 0.03
    top = max(z for _, z in model.cabin) - 0.10
    for side in (-1.0, 1.0):
        low, high = side * _cabin_half(model, half, foot), side * _cabin_half(model, half, top)
        for front_foot, front_top, rear_top, rear_foot in model.panes:
            pane = [
                (-front_foot, low, foot),
                (-front_top, high, top),
                (-rear_top, high, top),
                (-rear_foot, low, foot),
            ]
            builder.panel(pane, "glass", (-front_foot, 0.0, foot), layer=3)
        for x in model.doors:
            seam = [
                (-x, side * half, _SILL + 0.1),
                (-x, side * half, foot - 0.06),
                (-x - 0.05, side * half, foot - 0.06),
                (-x - 0.05, side * half, _SILL + 0.1),
            ]
            builder.panel(seam, "seam", (-x, 0.0, 0.5), layer=3)


def _add_ends(builder: MeshBuilder, model: CarModel, half: float, end: float) -> None:
    height = model.body[1][1] - 0.22
    middle = (-end / 2.0, 0.0, height)
    for x, material in ((0.0, "lamp"), (-end, "tail lamp")):
        for side in (-1.0, 1.0):
            lamp = [
                (x, side * half * inset, height + rise)
                for inset, rise in ((0.95, 0.0), (0.6, 0.0), (0.6, 0.2), (0.95, 0.2))
            ]
            builder.panel(lamp, material, middle, layer=3)
        bumper = [
            (x, side * half, height)
            for side, height in ((-1.0, _SILL), (1.0, _SILL), (1.0, 0.42), (-1.0, 0.42))
        ]
        builder.panel(bumper, "dark", middle, layer=3)


def _add_wheel(builder: MeshBuilder, model: CarModel, axle: float, half: float) -> None:
    for side in (-1.0, 1.0):
        middle = (-axle, 0.0, model.wheel)
        if model.flares:
            reach, top = 1.35 * model.wheel, 2.15 * model.wheel
            flare = [
                (-axle + along * reach, side * (half + 0.01), height)
                for along, height in ((-1.0, 0.7), (-0.7, top), (0.7, top), (1.0, 0.7))
            ]
            builder.panel(flare, "dark", middle, layer=3)
        for share, material, layer in ((1.0, "tyre", 4), (0.56, "hub", 5)):
            rim = [
                (x, side * (half + 0.02), z)
                for x, z in _circle(-axle, model.wheel, model.wheel * share)
            ]
            builder.panel(rim, material, middle, layer)


def _add_bed(builder: MeshBuilder, model: CarModel, half: float) -> None:
    front, rear = model.bed
    height = model.body[-2][1] + 0.01
    floor = [
        (-x, side * 0.86 * half, height)
        for x, side in ((front, -1.0), (front, 1.0), (rear, 1.0), (rear, -1.0))
    ]
    builder.panel(floor, "dark", (-front, 0.0, 0.0), layer=1)
