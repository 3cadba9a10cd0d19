"""Random backgrounds and the things that stand in front of the subject."""

from collections.abc import Callable

import numpy as np

from bench.miniworld.render.canvas import Canvas, Color, any_color, chance, jitter, pick

_SKIES: tuple[tuple[Color, Color], ...] = (
    ((90, 140, 205), (175, 205, 235)),
    ((150, 160, 175), (205, 208, 212)),
    ((70, 70, 120), (245, 160, 95)),
    ((28, 34, 58), (60, 68, 100)),
    ((120, 180, 230), (235, 235, 225)),
)
_GROUNDS: tuple[Color, ...] = (
    (110, 110, 112),
    (150, 140, 120),
    (90, 130, 70),
    (45, 85, 120),
    (205, 205, 205),
    (170, 150, 105),
)
_WALLS: tuple[Color, ...] = ((140, 110, 90), (110, 115, 125), (80, 110, 70), (175, 165, 145))
_LEAVES: tuple[Color, ...] = (
    (50, 90, 40),
    (35, 60, 35),
    (95, 125, 65),
    (60, 80, 90),
    (115, 95, 65),
    (28, 34, 28),
    (150, 150, 145),
)
_CLOUD: Color = (226, 228, 232)


def sky(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a sky with clouds and sometimes a horizon, or an airfield seen from above."""
    if chance(rng, 0.18):
        _airfield(canvas, rng)
        return
    top, bottom = _SKIES[int(rng.integers(len(_SKIES)))]
    canvas.gradient(jitter(rng, top, 16.0), jitter(rng, bottom, 16.0))
    if chance(rng, 0.4):
        for _ in range(int(rng.integers(1, 5))):
            cloud(canvas, rng, (rng.uniform(0.0, 1.0), rng.uniform(0.0, 0.9)))
    if chance(rng, 0.35):
        horizon = rng.uniform(0.62, 0.88)
        canvas.rectangle(0.0, horizon, 1.0, 1.0, pick(rng, _GROUNDS, 14.0))
        _buildings(canvas, rng, horizon)


def _airfield(canvas: Canvas, rng: np.random.Generator) -> None:
    ground = pick(rng, _GROUNDS, 14.0)
    canvas.gradient(jitter(rng, ground, 8.0), jitter(rng, ground, 8.0))
    for _ in range(int(rng.integers(1, 4))):
        start, slope, width = rng.uniform(-0.2, 1.0), rng.uniform(-0.4, 0.4), rng.uniform(0.02, 0.3)
        canvas.polygon(
            [
                (0.0, start),
                (1.0, start + slope),
                (1.0, start + slope + width),
                (0.0, start + width),
            ],
            pick(rng, _GROUNDS, 14.0),
        )


def street(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a road, a yard or a field with buildings and trees behind it."""
    top, bottom = _SKIES[int(rng.integers(len(_SKIES)))]
    canvas.gradient(jitter(rng, top, 16.0), jitter(rng, bottom, 16.0))
    horizon = rng.uniform(0.3, 0.72)
    _buildings(canvas, rng, horizon)
    canvas.rectangle(0.0, horizon, 1.0, 1.0, pick(rng, _GROUNDS, 14.0))
    if chance(rng, 0.4):
        stripe = rng.uniform(horizon, 1.0)
        canvas.rectangle(0.0, stripe, 1.0, stripe + rng.uniform(0.01, 0.2), pick(rng, _GROUNDS))


def _buildings(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    for _ in range(int(rng.integers(0, 4))):
        left, width, height = rng.uniform(-0.1, 1.0), rng.uniform(0.08, 0.5), rng.uniform(0.05, 0.4)
        canvas.rectangle(left, horizon - height, left + width, horizon, pick(rng, _WALLS, 16.0))
        if chance(rng, 0.3):
            crown = rng.uniform(0.05, 0.15)
            canvas.ellipse((left, horizon - crown), crown, 1.3 * crown, pick(rng, _LEAVES, 12.0))


def garden(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint leaves, grass blades and blurred blossoms."""
    base = pick(rng, _LEAVES, 14.0)
    canvas.gradient(jitter(rng, base, 14.0), jitter(rng, base, 14.0))
    for _ in range(int(rng.integers(2, 8))):
        blade(canvas, rng, jitter(rng, base, 30.0))
    if chance(rng, 0.25):
        for _ in range(int(rng.integers(1, 4))):
            radius = rng.uniform(0.03, 0.09)
            centre = (rng.uniform(0.0, 1.0), rng.uniform(0.0, 1.0))
            canvas.ellipse(centre, radius, radius * rng.uniform(0.6, 1.0), any_color(rng))


def anywhere(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint any of the backgrounds."""
    scenes: tuple[Callable[[Canvas, np.random.Generator], None], ...] = (sky, street, garden)
    scenes[int(rng.integers(len(scenes)))](canvas, rng)


def blade(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    """Paint one pointed leaf of random place, direction and size."""
    angle, length, width = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.5), rng.uniform(0.02, 0.1)
    along = np.array([np.cos(angle), np.sin(angle)]) * length
    across = np.array([-np.sin(angle), np.cos(angle)]) * width
    centre = rng.uniform(0.0, 1.0, 2)
    canvas.polygon(
        np.stack([centre - along, centre + across, centre + along, centre - across]), color
    )


def cloud(canvas: Canvas, rng: np.random.Generator, centre: tuple[float, float]) -> None:
    """Paint one cloud of a few overlapping ellipses."""
    color = jitter(rng, _CLOUD, 10.0)
    for _ in range(3):
        x, y = centre[0] + rng.normal(0.0, 0.07), centre[1] + rng.normal(0.0, 0.02)
        canvas.ellipse((x, y), rng.uniform(0.07, 0.18), rng.uniform(0.03, 0.07), color)


def occlude(canvas: Canvas, rng: np.random.Generator) -> None:
    """Put a pole, a branch or the edge of a cloud in front of the subject."""
    kind = int(rng.integers(3))
    if kind == 0:
        left, width = rng.uniform(0.08, 0.9), rng.uniform(0.03, 0.08)
        canvas.rectangle(left, 0.0, left + width, 1.0, jitter(rng, (90, 88, 86), 30.0))
    elif kind == 1:
        start, end = rng.uniform(0.0, 1.0, 2)
        color = jitter(rng, (80, 70, 50), 18.0)
        canvas.line([(0.0, start), (1.0, end)], rng.uniform(0.02, 0.05), color)
        for share in rng.uniform(0.0, 1.0, 4):
            centre = (float(share), float(start + (end - start) * share))
            canvas.ellipse(centre, 0.06, 0.035, pick(rng, _LEAVES))
    else:
        cloud(canvas, rng, (float(rng.choice([0.06, 0.94])), rng.uniform(0.1, 0.9)))


def caption_strip(canvas: Canvas, rng: np.random.Generator) -> None:
    """Put a strip with a line of unreadable text over the lower or the upper edge."""
    height = rng.uniform(0.07, 0.13)
    top = 1.0 - height if chance(rng, 0.75) else 0.0
    paper, ink = jitter(rng, (235, 235, 230), 15.0), jitter(rng, (50, 50, 55), 20.0)
    if chance(rng, 0.5):
        paper, ink = ink, paper
    canvas.rectangle(0.0, top, 1.0, top + height, paper)
    left = rng.uniform(0.03, 0.2)
    for _ in range(int(rng.integers(2, 5))):
        word = rng.uniform(0.06, 0.2)
        canvas.rectangle(left, top + 0.3 * height, left + word, top + 0.7 * height, ink)
        left += word + 0.04
