"""Pictures of aircraft: small 3-D models over a random sky or airfield."""

from functools import cache

import numpy as np

from bench.miniworld.render.aircraft_models import (
    AIRCRAFT,
    OTHER_AIRCRAFT,
    AircraftModel,
    Engine,
    Fin,
    Wing,
)
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
from bench.miniworld.render.mesh import Mesh, MeshBuilder, View, draw_mesh

_PAINTS: tuple[Color, ...] = (
    (240, 240, 238),
    (225, 228, 232),
    (170, 175, 180),
    (110, 118, 124),
    (85, 95, 70),
    (190, 40, 40),
    (235, 190, 50),
    (40, 70, 140),
    (40, 110, 80),
    (120, 85, 60),
)
_DARK: Color = (45, 46, 50)
_GLASS: Color = (70, 92, 118)
_MODELS = AIRCRAFT | OTHER_AIRCRAFT


def draw_aircraft(canvas: Canvas, name: str, chances: Chances, overrun: float = 0.0) -> None:
    """Draw one aircraft in a random pose and livery, `overrun` outside of the frame."""
    rng = chances.view
    view = View(
        yaw=np.radians(rng.uniform(-20.0, 20.0)),
        elevation=np.radians(rng.uniform(30.0, 50.0)),
        bank=np.radians(rng.normal(0.0, 3.0)),
        tilt=np.radians(rng.normal(0.0, 4.0)),
        mirrored=chance(rng, 0.5),
    )
    draw_mesh(canvas, aircraft_mesh(name), view, livery(chances.paint), rng, overrun)


def livery(rng: np.random.Generator) -> dict[str, Color]:
    """Sample the colours of an aircraft, independent of its type."""
    body = pick(rng, _PAINTS) if chance(rng, 0.85) else any_color(rng)
    accent = pick(rng, _PAINTS) if chance(rng, 0.5) else any_color(rng)
    wing = shade(body, rng.uniform(0.7, 0.95)) if chance(rng, 0.6) else pick(rng, _PAINTS)
    belly = accent if chance(rng, 0.3) else shade(body, 0.85)
    # Engines as bright as the wing behind them would leave nothing to count at 32x32.
    engine = shade(wing, rng.uniform(0.35, 0.6)) if chance(rng, 0.7) else pick(rng, _PAINTS)
    dark, glass = jitter(rng, _DARK, 8.0), jitter(rng, _GLASS, 15.0)
    return {
        "body": body,
        "body-belly": belly,
        "wing": wing,
        "lower wing": shade(wing, 0.72),
        "fin": accent if chance(rng, 0.5) else body,
        "engine": engine,
        "engine-belly": shade(engine, 0.85),
        "glass": glass,
        "glass-belly": glass,
        "dark": dark,
        "dark-belly": dark,
    }


@cache
def aircraft_mesh(name: str) -> Mesh:
    """Build the mesh of a type of aircraft."""
    model = _MODELS[name]
    builder = MeshBuilder()
    builder.tube(model.fuselage, "body")
    for wing, material in zip(model.wings, ("wing", "lower wing"), strict=False):
        _add_wing(builder, wing, _radius(model), material)
    _add_wing(builder, model.tailplane, _radius(model) / 3.0, "wing")
    _add_fin(builder, model.fin)
    for engine in model.engines:
        _add_engine(builder, engine)
    if model.canopy:
        builder.tube(model.canopy, "glass", sides=6)
    if model.hump:
        builder.tube(model.hump, "body", sides=6)
    if model.propeller:
        _add_propeller(builder, 0.51, 0.0, 0.0, model.propeller)
    if model.struts:
        _add_struts(builder, model)
    if model.gear:
        _add_gear(builder, model)
    return builder.build()


def _radius(model: AircraftModel) -> float:
    return max(radius for _, radius, _ in model.fuselage)


def _add_wing(builder: MeshBuilder, wing: Wing, radius: float, material: str) -> None:
    # A wing above the fuselage runs across it, in front of all else for a camera that is always
    # above; other wings would show through the fuselage if they ran across it.
    above = wing.height > 0.9 * radius
    start = 0.0 if above else 0.6 * radius / wing.span
    shares = np.linspace(start, 1.0, 7 if wing.elliptical else 4)
    if wing.elliptical:
        chords = wing.root * np.sqrt(np.clip(1.0 - shares**2, 0.0, 1.0))
        fronts = wing.front - 0.35 * (wing.root - chords)
    else:
        chords = wing.root + (wing.tip - wing.root) * shares
        fronts = wing.front - wing.sweep * shares
    heights = wing.height + wing.dihedral * shares
    for side in (-1.0, 1.0):
        leading = np.stack([fronts, side * shares * wing.span, heights], axis=1)
        trailing = leading - np.stack([chords, 0.0 * chords, 0.0 * chords], axis=1)
        for index in range(len(shares) - 1):
            inner, outer = index, index + 1
            corners = np.stack([leading[inner], leading[outer], trailing[outer], trailing[inner]])
            builder.plate(corners, material, layer=int(above))


def _add_fin(builder: MeshBuilder, fin: Fin) -> None:
    front, base = fin.rear + fin.root, 0.02
    top = base + fin.height
    builder.plate(
        [
            (front, 0.0, base),
            (front - fin.sweep, 0.0, top),
            (front - fin.sweep - fin.tip, 0.0, top),
            (fin.rear, 0.0, base),
        ],
        "fin",
    )


def _add_engine(builder: MeshBuilder, engine: Engine) -> None:
    rear = engine.x - engine.length
    waist = engine.x - 0.4 * engine.length
    stations = (
        (engine.x, engine.radius * 0.9, engine.z),
        (waist, engine.radius, engine.z),
        (rear, engine.radius * 0.6, engine.z),
    )
    for side in (-engine.y, engine.y):
        builder.tube(stations, "engine", side=side, sides=6)
        for x, radius in ((engine.x, engine.radius * 0.9), (rear, engine.radius * 0.6)):
            builder.panel(_disc(x, side, engine.z, radius), "dark", (waist, side, engine.z))
        if engine.propeller:
            _add_propeller(builder, engine.x + 0.01, side, engine.z, engine.propeller)


def _disc(x: float, y: float, z: float, radius: float) -> FloatArray:
    angles = np.linspace(0.0, 2.0 * np.pi, 10, endpoint=False)
    return np.stack(
        [np.full(10, x), y + radius * np.cos(angles), z + radius * np.sin(angles)], axis=1
    )


def _add_propeller(builder: MeshBuilder, x: float, y: float, z: float, radius: float) -> None:
    width = 0.14 * radius
    for angle in (0.5, 0.5 + np.pi / 2.0):
        along = np.array([0.0, np.cos(angle), np.sin(angle)]) * radius
        across = np.array([0.0, -np.sin(angle), np.cos(angle)]) * width
        # Turned blades show their chord from the side; a flat disc would vanish edge-on.
        across[0] = width
        hub = np.array([x, y, z])
        builder.plate(np.stack([hub - along, hub + across, hub + along, hub - across]), "dark")


def _add_struts(builder: MeshBuilder, model: AircraftModel) -> None:
    upper, radius = model.wings[0], _radius(model)
    if len(model.wings) > 1:
        top, foot, foot_height = 0.75 * upper.span, 0.75 * upper.span, model.wings[1].height
    else:
        top, foot, foot_height = 0.5 * upper.span, 0.7 * radius, -0.8 * radius
    for side in (-1.0, 1.0):
        for x in (upper.front - 0.03, upper.front - 0.12):
            corners = [
                (x, side * foot, foot_height),
                (x, side * top, upper.height),
                (x - 0.018, side * top, upper.height),
                (x - 0.018, side * foot, foot_height),
            ]
            builder.plate(corners, "dark")


def _add_gear(builder: MeshBuilder, model: AircraftModel) -> None:
    radius = 0.045
    height = -_radius(model) - 0.10
    angles = np.linspace(0.0, 2.0 * np.pi, 8, endpoint=False)
    for x, y in ((0.18, -0.12), (0.18, 0.12)):
        rim = np.stack(
            [x + radius * np.cos(angles), np.full(8, y), height + radius * np.sin(angles)], axis=1
        )
        builder.plate(rim, "dark")
        builder.plate([(x, y / 3.0, 0.0), (x, y, height), (x - 0.02, y, height)], "dark")
