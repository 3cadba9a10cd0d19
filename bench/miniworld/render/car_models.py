"""Dimensions of the cars in metres; x runs from the front bumper backwards, z up from the road."""

from dataclasses import dataclass

Outline = tuple[tuple[float, float], ...]
Pane = tuple[float, float, float, float]


@dataclass(frozen=True)
class CarModel:
    """One model of car.

    Attributes:
        style: kind of body in one word.
        body: (x, z) of the upper edge of the lower body, front to rear.
        cabin: (x, z) of the outline of the cabin: foot of the windscreen, roof, foot of the rear.
        panes: side windows as x of (front foot, front top, rear top, rear foot).
        doors: x of the seams between doors.
        wheels: x of the two axles.
        wheel: radius of the wheels.
        width: width of the body.
        taper: share of the width that the roof keeps.
        rear_glass: whether the last segment of the cabin is a window.
        spare: whether a spare wheel hangs on the rear.
        bed: (front, rear) x of an open cargo bed, (0, 0) if there is none.
        flares: whether dark fenders stand over the wheels.
        roof: colour of the roof: "body" or "dark" (a folding top).
    """

    style: str
    body: Outline
    cabin: Outline
    panes: tuple[Pane, ...]
    doors: tuple[float, ...]
    wheels: tuple[float, float]
    wheel: float = 0.33
    width: float = 1.75
    taper: float = 0.80
    rear_glass: bool = True
    spare: bool = False
    bed: tuple[float, float] = (0.0, 0.0)
    flares: bool = False
    roof: str = "body"

    def attributes(self) -> dict[str, object]:
        """Describe the structure in words and numbers."""
        length = self.body[-1][0]
        height = max(z for _, z in self.cabin)
        return {
            "body": self.style,
            "doors": 2 * max(1, len(self.doors) - 1),
            "length": length,
            "height": height,
            "hood_share": round(self.cabin[0][0] / length, 2),
            "roofline": "arched" if len(self.cabin) > 5 else "flat",
            "side_windows": len(self.panes),
            "spare_wheel": self.spare,
            "cargo_bed": self.bed != (0.0, 0.0),
            "wheel_radius": self.wheel,
        }


CARS: dict[str, CarModel] = {
    "Volkswagen Beetle": CarModel(
        style="arched coupe",
        body=(
            (0.0, 0.45),
            (0.15, 0.68),
            (0.55, 0.86),
            (1.25, 0.94),
            (3.3, 0.9),
            (3.8, 0.7),
            (4.05, 0.42),
        ),
        cabin=(
            (1.15, 0.92),
            (1.55, 1.36),
            (1.95, 1.5),
            (2.4, 1.5),
            (2.85, 1.36),
            (3.35, 1.08),
            (3.6, 0.82),
        ),
        panes=((1.38, 1.62, 2.15, 2.2), (2.3, 2.28, 2.7, 2.95)),
        doors=(1.3, 2.25),
        wheels=(0.8, 3.25),
        width=1.6,
        taper=0.74,
        rear_glass=False,
    ),
    "Volkswagen Golf": CarModel(
        style="hatchback",
        body=((0.0, 0.5), (0.05, 0.72), (0.95, 0.92), (4.0, 0.95), (4.1, 0.5)),
        cabin=((0.95, 0.92), (1.6, 1.44), (3.4, 1.46), (3.98, 0.95)),
        panes=((1.3, 1.72, 2.35, 2.35), (2.45, 2.45, 3.25, 3.6)),
        doors=(1.3, 2.4, 3.2),
        wheels=(0.8, 3.35),
    ),
    "Ford Mustang": CarModel(
        style="fastback coupe",
        body=((0.0, 0.5), (0.05, 0.74), (2.05, 0.86), (4.6, 0.9), (4.8, 0.84), (4.8, 0.5)),
        cabin=((2.05, 0.86), (2.65, 1.26), (3.15, 1.28), (4.6, 0.9)),
        panes=((2.38, 2.72, 3.15, 3.65),),
        doors=(2.2, 3.4),
        wheels=(0.9, 3.75),
        wheel=0.36,
        width=1.85,
        taper=0.72,
    ),
    "Jeep Wrangler": CarModel(
        style="off-roader",
        body=((0.0, 0.65), (0.0, 1.05), (1.3, 1.15), (3.9, 1.15), (3.9, 0.6)),
        cabin=((1.3, 1.15), (1.5, 1.78), (3.8, 1.82), (3.9, 1.15)),
        panes=((1.5, 1.62, 2.3, 2.3), (2.45, 2.45, 3.1, 3.1), (3.25, 3.25, 3.7, 3.72)),
        doors=(1.4, 2.38, 3.18),
        wheels=(0.65, 3.15),
        wheel=0.46,
        width=1.75,
        taper=0.94,
        spare=True,
        flares=True,
        roof="dark",
    ),
    "smart fortwo": CarModel(
        style="microcar",
        body=((0.0, 0.5), (0.05, 0.8), (0.4, 0.98), (2.45, 1.05), (2.55, 0.5)),
        cabin=((0.4, 0.98), (1.05, 1.52), (2.05, 1.54), (2.48, 1.02)),
        panes=((0.75, 1.12, 1.6, 1.6),),
        doors=(0.7, 1.65),
        wheels=(0.48, 2.1),
        wheel=0.32,
        width=1.5,
    ),
    "Volvo 240": CarModel(
        style="sedan",
        body=((0.0, 0.5), (0.0, 0.82), (1.45, 0.92), (3.65, 0.94), (4.75, 0.92), (4.8, 0.5)),
        cabin=((1.45, 0.92), (1.85, 1.52), (3.3, 1.53), (3.65, 0.94)),
        panes=((1.65, 1.96, 2.55, 2.55), (2.65, 2.65, 3.2, 3.42)),
        doors=(1.65, 2.65, 3.45),
        wheels=(0.85, 3.6),
        width=1.7,
        taper=0.84,
    ),
    "Ford F-150": CarModel(
        style="pickup",
        body=((0.0, 0.6), (0.0, 1.1), (1.35, 1.18), (5.5, 1.2), (5.55, 0.6)),
        cabin=((1.35, 1.18), (1.85, 1.86), (3.05, 1.88), (3.2, 1.2)),
        panes=((1.65, 2.0, 2.9, 2.98),),
        doors=(1.6, 3.05),
        wheels=(0.95, 4.4),
        wheel=0.42,
        width=1.95,
        taper=0.86,
        bed=(3.35, 5.4),
    ),
    "GMC Savana": CarModel(
        style="van",
        body=((0.0, 0.5), (0.0, 0.95), (0.75, 1.15), (5.5, 1.2), (5.6, 0.5)),
        cabin=((0.7, 1.15), (1.3, 2.05), (5.5, 2.08), (5.55, 1.2)),
        panes=((1.05, 1.42, 1.95, 1.95),),
        doors=(0.95, 2.05, 3.2),
        wheels=(0.9, 4.4),
        wheel=0.38,
        width=1.95,
        taper=0.9,
    ),
}

# Cars of no class: what a pool about cars also shows.
OTHER_CARS: dict[str, CarModel] = {
    "estate": CarModel(
        style="estate",
        body=((0.0, 0.5), (0.0, 0.8), (1.35, 0.92), (4.6, 0.95), (4.65, 0.5)),
        cabin=((1.35, 0.92), (1.9, 1.45), (4.3, 1.47), (4.62, 0.95)),
        panes=((1.6, 2.0, 2.6, 2.6), (2.7, 2.7, 3.35, 3.35), (3.45, 3.45, 4.15, 4.3)),
        doors=(1.6, 2.65, 3.4),
        wheels=(0.85, 3.7),
    ),
    "convertible": CarModel(
        style="convertible",
        body=((0.0, 0.5), (0.05, 0.72), (1.6, 0.86), (4.1, 0.86), (4.2, 0.5)),
        cabin=((1.55, 0.86), (1.95, 1.22), (2.05, 1.22), (2.1, 0.86)),
        panes=(),
        doors=(1.7, 2.8),
        wheels=(0.8, 3.4),
        rear_glass=False,
    ),
    "lorry": CarModel(
        style="lorry",
        body=((0.0, 0.6), (0.0, 1.3), (1.6, 1.3), (6.4, 1.2), (6.4, 0.7)),
        cabin=((0.0, 1.3), (0.2, 2.3), (1.4, 2.35), (1.5, 1.3)),
        panes=((0.4, 0.45, 1.1, 1.2),),
        doors=(0.4, 1.3),
        wheels=(0.9, 5.2),
        wheel=0.48,
        width=2.2,
        rear_glass=False,
        bed=(1.7, 6.3),
    ),
}
