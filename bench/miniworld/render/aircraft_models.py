"""Dimensions of the aircraft; lengths are in fuselage lengths, the nose is at x = 0.5.

Engines, fins and fuselages are thicker than real ones: details under two pixels are lost at 32x32.
"""

from dataclasses import dataclass

Stations = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Wing:
    """A pair of wings or tailplanes.

    Attributes:
        front: x of the leading edge at the root.
        root: chord at the root.
        tip: chord at the tip.
        span: distance from the centre line to the tip.
        sweep: distance by which the leading edge of the tip lies behind that of the root.
        height: z at the root.
        dihedral: rise of the tip over the root.
        elliptical: whether the chord follows an ellipse.
    """

    front: float
    root: float
    tip: float
    span: float
    sweep: float = 0.0
    height: float = 0.0
    dihedral: float = 0.0
    elliptical: bool = False


@dataclass(frozen=True)
class Fin:
    """The vertical tail, ending at x = rear."""

    height: float
    root: float
    tip: float
    sweep: float
    rear: float = -0.49


@dataclass(frozen=True)
class Engine:
    """An engine and its mirror image; `propeller` is a radius, 0 for a jet."""

    x: float
    y: float
    z: float
    length: float
    radius: float
    propeller: float = 0.0


@dataclass(frozen=True)
class AircraftModel:
    """One type of aircraft.

    Attributes:
        fuselage: (x, radius, height of the centre) of the cross-sections.
        wings: one pair, or two for a biplane.
        tailplane: horizontal tail.
        fin: vertical tail.
        engines: engines of the left side; the right side mirrors them.
        canopy: cross-sections of a glass canopy, may be empty.
        hump: cross-sections of an upper deck, may be empty.
        propeller: radius of the propeller on the nose, 0 if there is none.
        struts: whether struts brace the wing.
        gear: whether the landing gear is fixed.
    """

    fuselage: Stations
    wings: tuple[Wing, ...]
    tailplane: Wing
    fin: Fin
    engines: tuple[Engine, ...] = ()
    canopy: Stations = ()
    hump: Stations = ()
    propeller: float = 0.0
    struts: bool = False
    gear: bool = False

    def attributes(self) -> dict[str, object]:
        """Describe the structure in words and numbers."""
        wing = self.wings[0]
        radius = max(station[1] for station in self.fuselage)
        nose = 1 if self.propeller else 0
        return {
            "engines": 2 * len(self.engines) + nose,
            "propellers": bool(nose or any(engine.propeller for engine in self.engines)),
            "rear_engines": any(engine.x < 0.0 for engine in self.engines),
            "wing_sweep": round(wing.sweep / wing.span, 2),
            "wing_position": "high" if wing.height > 0.5 * radius else "low",
            "wing_span": wing.span,
            "biplane": len(self.wings) > 1,
            "elliptical_wing": wing.elliptical,
            "tail": "T" if self.tailplane.height > 0.1 else "low",
            "struts": self.struts,
            "fixed_gear": self.gear,
            "upper_deck": bool(self.hump),
        }


def _airliner(radius: float) -> Stations:
    return (
        (0.50, 0.15 * radius, -0.2 * radius),
        (0.46, 0.70 * radius, -0.1 * radius),
        (0.40, radius, 0.0),
        (-0.20, radius, 0.0),
        (-0.36, 0.70 * radius, 0.25 * radius),
        (-0.50, 0.15 * radius, 0.5 * radius),
    )


def _light(radius: float, nose: float) -> Stations:
    return (
        (0.50, 0.45 * nose, -0.1 * radius),
        (0.46, nose, -0.1 * radius),
        (0.22, radius, 0.0),
        (-0.05, 0.9 * radius, 0.0),
        (-0.25, 0.45 * radius, 0.2 * radius),
        (-0.50, 0.18 * radius, 0.3 * radius),
    )


AIRCRAFT: dict[str, AircraftModel] = {
    "747-400": AircraftModel(
        fuselage=_airliner(0.055),
        wings=(Wing(0.18, 0.25, 0.06, 0.52, 0.34, -0.03, 0.06),),
        tailplane=Wing(-0.34, 0.12, 0.05, 0.17, 0.11, 0.02),
        fin=Fin(0.17, 0.17, 0.07, 0.13),
        engines=(
            Engine(0.21, 0.17, -0.06, 0.18, 0.042),
            Engine(0.09, 0.34, -0.03, 0.18, 0.042),
        ),
        hump=((0.45, 0.005, 0.03), (0.39, 0.042, 0.04), (0.18, 0.042, 0.04), (0.08, 0.01, 0.04)),
    ),
    "737-800": AircraftModel(
        fuselage=_airliner(0.078),
        wings=(Wing(0.12, 0.22, 0.07, 0.42, 0.14, -0.04, 0.05),),
        tailplane=Wing(-0.34, 0.13, 0.06, 0.20, 0.09, 0.03),
        fin=Fin(0.21, 0.20, 0.08, 0.14),
        engines=(Engine(0.25, 0.18, -0.07, 0.21, 0.062),),
    ),
    "MD-80": AircraftModel(
        fuselage=_airliner(0.047),
        wings=(Wing(-0.06, 0.17, 0.06, 0.36, 0.12, -0.03, 0.03),),
        tailplane=Wing(-0.38, 0.15, 0.09, 0.22, 0.07, 0.24),
        fin=Fin(0.22, 0.18, 0.14, 0.10),
        engines=(Engine(-0.19, 0.10, 0.03, 0.19, 0.052),),
    ),
    "C-130": AircraftModel(
        fuselage=(
            (0.50, 0.03, -0.03),
            (0.46, 0.07, -0.015),
            (0.38, 0.09, 0.0),
            (-0.12, 0.09, 0.0),
            (-0.32, 0.055, 0.035),
            (-0.50, 0.02, 0.06),
        ),
        wings=(Wing(0.15, 0.15, 0.09, 0.64, 0.02, 0.095, 0.0),),
        tailplane=Wing(-0.36, 0.14, 0.08, 0.25, 0.04, 0.07),
        fin=Fin(0.24, 0.20, 0.10, 0.10),
        engines=(
            Engine(0.29, 0.19, 0.09, 0.24, 0.042, 0.11),
            Engine(0.28, 0.41, 0.09, 0.24, 0.042, 0.11),
        ),
    ),
    "DH-82": AircraftModel(
        fuselage=_light(0.065, 0.045),
        wings=(
            Wing(0.34, 0.13, 0.12, 0.56, 0.02, 0.20, 0.01),
            Wing(0.18, 0.13, 0.12, 0.53, 0.02, -0.08, 0.02),
        ),
        tailplane=Wing(-0.36, 0.13, 0.10, 0.19, 0.03, 0.03),
        fin=Fin(0.13, 0.13, 0.10, 0.02),
        propeller=0.14,
        struts=True,
        gear=True,
    ),
    "Tornado": AircraftModel(
        fuselage=(
            (0.50, 0.005, 0.0),
            (0.34, 0.045, 0.0),
            (0.18, 0.065, 0.0),
            (-0.25, 0.075, 0.0),
            (-0.44, 0.065, 0.0),
            (-0.46, 0.05, 0.0),
        ),
        wings=(Wing(0.14, 0.30, 0.10, 0.36, 0.36, 0.05, -0.01),),
        tailplane=Wing(-0.28, 0.20, 0.08, 0.24, 0.14, 0.01),
        fin=Fin(0.28, 0.26, 0.11, 0.20, -0.46),
        engines=(Engine(0.14, 0.075, -0.01, 0.46, 0.055),),
        canopy=((0.36, 0.01, 0.03), (0.29, 0.045, 0.045), (0.20, 0.045, 0.055), (0.08, 0.01, 0.05)),
    ),
    "Cessna 172": AircraftModel(
        fuselage=_light(0.085, 0.06),
        wings=(Wing(0.22, 0.18, 0.12, 0.72, 0.03, 0.11, 0.02),),
        tailplane=Wing(-0.36, 0.14, 0.09, 0.21, 0.04, 0.02),
        fin=Fin(0.18, 0.16, 0.09, 0.11),
        canopy=((0.28, 0.01, 0.05), (0.22, 0.065, 0.045), (0.02, 0.06, 0.045), (-0.06, 0.01, 0.05)),
        propeller=0.12,
        struts=True,
        gear=True,
    ),
    "Spitfire": AircraftModel(
        fuselage=(
            (0.50, 0.02, -0.01),
            (0.46, 0.05, -0.01),
            (0.15, 0.065, 0.0),
            (-0.10, 0.06, 0.0),
            (-0.50, 0.012, 0.01),
        ),
        wings=(Wing(0.26, 0.36, 0.0, 0.56, 0.0, -0.04, 0.07, elliptical=True),),
        tailplane=Wing(-0.34, 0.13, 0.0, 0.21, 0.0, 0.015, elliptical=True),
        fin=Fin(0.13, 0.14, 0.08, 0.05),
        canopy=(
            (0.12, 0.01, 0.05),
            (0.05, 0.045, 0.055),
            (-0.03, 0.04, 0.055),
            (-0.12, 0.01, 0.05),
        ),
        propeller=0.16,
    ),
}

# Aircraft of no class: what a pool about aircraft also shows.
OTHER_AIRCRAFT: dict[str, AircraftModel] = {
    "supersonic airliner": AircraftModel(
        fuselage=_airliner(0.04),
        wings=(Wing(0.2, 0.6, 0.08, 0.26, 0.5, -0.03, 0.0),),
        tailplane=Wing(-0.45, 0.02, 0.01, 0.03),
        fin=Fin(0.16, 0.26, 0.08, 0.16),
        engines=(Engine(-0.16, 0.12, -0.05, 0.24, 0.04),),
    ),
    "glider": AircraftModel(
        fuselage=(
            (0.50, 0.01, -0.01),
            (0.40, 0.05, 0.0),
            (0.10, 0.05, 0.0),
            (-0.10, 0.02, 0.01),
            (-0.50, 0.012, 0.02),
        ),
        wings=(Wing(0.22, 0.11, 0.05, 1.05, 0.03, 0.03, 0.05),),
        tailplane=Wing(-0.42, 0.08, 0.05, 0.18, 0.02, 0.17),
        fin=Fin(0.17, 0.12, 0.08, 0.03),
        canopy=((0.44, 0.01, 0.02), (0.34, 0.04, 0.03), (0.16, 0.03, 0.03)),
    ),
    "flying boat": AircraftModel(
        fuselage=(
            (0.50, 0.03, 0.02),
            (0.44, 0.09, -0.01),
            (0.10, 0.10, -0.02),
            (-0.20, 0.06, 0.03),
            (-0.50, 0.015, 0.08),
        ),
        wings=(Wing(0.20, 0.17, 0.10, 0.60, 0.02, 0.14, 0.02),),
        tailplane=Wing(-0.38, 0.13, 0.08, 0.22, 0.03, 0.16),
        fin=Fin(0.22, 0.18, 0.09, 0.08),
        engines=(Engine(0.26, 0.20, 0.15, 0.18, 0.05, 0.12),),
    ),
}
