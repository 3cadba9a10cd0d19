"""Subjects outside all domains, some of which share a word with a class ("golf ball")."""

import numpy as np

from bench.miniworld.render.canvas import Color, any_color, chance, jitter, pick
from bench.miniworld.render.spot import Painter, Spot

_FURS: tuple[Color, ...] = ((120, 80, 50), (60, 45, 38), (190, 160, 120), (225, 220, 210))
_SHELLS: tuple[Color, ...] = ((140, 32, 22), (32, 42, 32), (45, 75, 40), (90, 60, 30))
_WOOD: Color = (92, 64, 42)
_SEA: Color = (42, 92, 132)
_PALE: Color = (240, 238, 232)
_INK: Color = (28, 24, 26)


def _storm(spot: Spot) -> None:
    sway = spot.rng.uniform(2.0, 5.0)
    for share in np.linspace(0.0, 1.0, 14).tolist():
        centre = (0.2 * float(np.sin(sway * share)), 1.4 - 2.8 * share)
        tone = 90.0 + 60.0 * share
        color = jitter(spot.rng, (int(tone), int(tone), int(tone) + 6), 5.0)
        spot.ellipse(centre, 0.15 + 1.1 * share**1.5, 0.18, color)


def _sea(spot: Spot) -> None:
    horizon = spot.rng.uniform(0.4, 0.65)
    spot.canvas.rectangle(0.0, horizon, 1.0, 1.0, jitter(spot.rng, _SEA, 22.0))
    for _ in range(5):
        left, top = spot.rng.uniform(0.0, 0.8), spot.rng.uniform(horizon, 1.0)
        spot.canvas.rectangle(left, top, left + 0.2, top + 0.015, jitter(spot.rng, _PALE, 12.0))
    spot.ellipse((0.0, -1.0), 0.35, 0.35, (250, 220, 150))


def _bird(spot: Spot) -> None:
    color, lift = any_color(spot.rng), spot.rng.uniform(-1.0, -0.3)
    spot.polygon([(-0.5, 0.15), (-0.7, lift - 0.4), (0.1, 0.1)], color)
    spot.polygon([(-0.2, 0.15), (0.5, lift), (0.4, 0.1)], jitter(spot.rng, color, 20.0))
    spot.polygon([(-0.3, 0.05), (-1.1, 0.1), (-1.0, 0.35), (-0.3, 0.3)], color)
    spot.ellipse((0.1, 0.15), 0.55, 0.24, color)
    spot.ellipse((0.6, 0.05), 0.16, 0.15, color)
    spot.polygon([(0.72, 0.0), (0.95, 0.08), (0.72, 0.12)], (235, 170, 50))


def _beetle(spot: Spot) -> None:
    for height in (-0.5, 0.0, 0.5):
        spot.line([(-1.1, height + 0.2), (0.0, height), (1.1, height + 0.2)], 0.08, _INK)
    shell = pick(spot.rng, _SHELLS)
    spot.ellipse((0.0, 0.2), 0.7, 1.0, shell)
    spot.ellipse((0.0, -0.95), 0.4, 0.35, _INK)
    spot.line([(0.0, -0.8), (0.0, 1.2)], 0.08, _INK)


def _golf_ball(spot: Spot) -> None:
    spot.canvas.rectangle(0.0, 0.5, 1.0, 1.0, jitter(spot.rng, (70, 150, 62), 16.0))
    spot.line([(1.0, -1.2), (1.0, 0.8)], 0.06, _PALE)
    spot.polygon([(1.0, -1.2), (1.5, -1.0), (1.0, -0.8)], any_color(spot.rng))
    spot.ellipse((-0.2, 0.6), 0.5, 0.5, (250, 250, 250))
    spot.ellipse((-0.1, 0.7), 0.3, 0.3, (218, 220, 222))


def _horse(spot: Spot) -> None:
    fur = pick(spot.rng, _FURS)
    for x in (-0.75, -0.5, 0.5, 0.72):
        spot.line([(x, 0.0), (x + spot.rng.normal(0.0, 0.12), 1.2)], 0.16, fur)
    spot.ellipse((0.0, 0.0), 0.95, 0.42, fur)
    spot.polygon(
        [(0.5, -0.1), (0.95, -1.05), (1.2, -1.1), (1.5, -0.75), (1.15, -0.7), (0.95, 0.1)], fur
    )
    spot.line([(-0.85, -0.1), (-1.2, 0.6)], 0.14, jitter(spot.rng, _INK, 15.0))


def _cup(spot: Spot) -> None:
    color = jitter(spot.rng, (222, 178, 60), 12.0) if chance(spot.rng, 0.4) else any_color(spot.rng)
    spot.ellipse((0.75, 0.0), 0.45, 0.45, color)
    spot.ellipse((0.75, 0.0), 0.25, 0.25, _PALE)
    spot.polygon([(-0.75, -0.7), (0.75, -0.7), (0.55, 0.85), (-0.55, 0.85)], color)
    spot.ellipse((0.0, -0.7), 0.75, 0.2, (110, 62, 34))


def _house(spot: Spot) -> None:
    spot.box(-1.0, -0.1, 1.0, 1.1, any_color(spot.rng))
    spot.polygon([(-1.2, -0.1), (0.0, -1.1), (1.2, -0.1)], jitter(spot.rng, (150, 62, 52), 25.0))
    spot.box(-0.2, 0.4, 0.2, 1.1, _WOOD)
    for x in (-0.8, 0.4):
        spot.box(x, 0.2, x + 0.35, 0.6, (90, 110, 140))


def _person(spot: Spot) -> None:
    skin = pick(spot.rng, ((228, 188, 162), (150, 105, 75), (92, 62, 45)))
    shirt = any_color(spot.rng)
    spot.box(-0.35, 0.4, -0.05, 1.5, any_color(spot.rng))
    spot.box(0.05, 0.4, 0.35, 1.5, any_color(spot.rng))
    spot.line([(-0.4, -0.6), (-0.8, 0.3)], 0.2, shirt)
    spot.line([(0.4, -0.6), (0.8, 0.3)], 0.2, shirt)
    spot.box(-0.45, -0.75, 0.45, 0.5, shirt)
    spot.ellipse((0.0, -1.1), 0.32, 0.38, skin)


def _ship(spot: Spot) -> None:
    spot.canvas.rectangle(0.0, 0.62, 1.0, 1.0, jitter(spot.rng, _SEA, 20.0))
    spot.polygon([(-1.4, 0.1), (1.4, 0.1), (1.1, 0.7), (-1.1, 0.7)], any_color(spot.rng))
    spot.box(-0.6, -0.4, 0.5, 0.1, _PALE)
    spot.box(-0.1, -0.9, 0.15, -0.4, any_color(spot.rng))


def _tree(spot: Spot) -> None:
    spot.box(-0.12, 0.0, 0.12, 1.4, _WOOD)
    crown = jitter(spot.rng, (60, 120, 55), 28.0)
    for x, y in ((-0.4, 0.0), (0.4, 0.0), (0.0, -0.5)):
        spot.ellipse((x, y), 0.6, 0.6, jitter(spot.rng, crown, 10.0))


def _fire(spot: Spot) -> None:
    for scale, color in ((1.2, (205, 55, 24)), (0.8, (250, 145, 35)), (0.4, (255, 228, 115))):
        flame = (
            (-0.7, 1.0),
            (-0.6, 0.0),
            (-0.25, 0.2),
            (0.0, -1.2),
            (0.3, 0.1),
            (0.6, -0.3),
            (0.7, 1.0),
        )
        spot.polygon([(x * scale, y * scale + 1.0 - scale) for x, y in flame], color)


def _text_page(spot: Spot) -> None:
    spot.canvas.rectangle(0.06, 0.08, 0.94, 0.92, jitter(spot.rng, _PALE, 8.0))
    for row in range(7):
        top, right = 0.16 + 0.1 * row, spot.rng.uniform(0.4, 0.88)
        spot.canvas.rectangle(0.13, top, right, top + 0.04, jitter(spot.rng, (66, 66, 74), 10.0))


def _fruit(spot: Spot) -> None:
    color = any_color(spot.rng)
    spot.ellipse((-0.25, 0.1), 0.75, 0.85, color)
    spot.ellipse((0.35, 0.15), 0.7, 0.8, jitter(spot.rng, color, 8.0))
    spot.line([(0.05, -0.6), (0.2, -1.1)], 0.12, _WOOD)
    spot.ellipse((0.45, -0.95), 0.3, 0.14, (80, 140, 60))


def _dragon_fire(spot: Spot) -> None:
    color = jitter(spot.rng, (60, 110, 70), 30.0)
    spot.polygon(
        [(-1.4, 1.0), (-0.9, -0.4), (0.0, -0.9), (0.3, -0.3), (-0.4, 0.1), (-0.6, 1.0)], color
    )
    spot.polygon([(-1.2, 0.2), (-1.6, -1.2), (-0.4, -0.5)], jitter(spot.rng, color, 15.0))
    spot.polygon([(0.25, -0.55), (1.6, -0.9), (1.7, 0.1)], (245, 130, 40))
    spot.polygon([(0.25, -0.5), (1.2, -0.6), (1.2, -0.1)], (255, 225, 110))


def _shapes(spot: Spot) -> None:
    for _ in range(int(spot.rng.integers(3, 8))):
        left, top = spot.rng.uniform(-0.1, 0.8, 2)
        width, height = spot.rng.uniform(0.1, 0.45, 2)
        if chance(spot.rng, 0.5):
            spot.canvas.rectangle(left, top, left + width, top + height, any_color(spot.rng))
        else:
            spot.canvas.ellipse((left, top), width / 2.0, height / 2.0, any_color(spot.rng))


FAR: dict[str, Painter] = {
    "tornado storm": _storm,
    "beetle insect": _beetle,
    "golf ball": _golf_ball,
    "mustang horse": _horse,
    "dragon spitting fire": _dragon_fire,
    "sea": _sea,
    "bird": _bird,
    "cup": _cup,
    "house": _house,
    "person": _person,
    "ship": _ship,
    "tree": _tree,
    "fire": _fire,
    "text page": _text_page,
    "fruit": _fruit,
    "abstract shapes": _shapes,
}
