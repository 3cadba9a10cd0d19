"""A place in the picture whose unit of length is the size of the thing drawn there."""

from collections.abc import Callable, Sequence

import numpy as np

from bench.miniworld.render.canvas import Canvas, Color, Point

Painter = Callable[["Spot"], None]


class Spot:
    """A canvas seen from a random centre, in units of a random radius, maybe mirrored.

    Attributes:
        canvas: the whole picture.
        rng: source of the random choices.
        radius: the unit of length, in fractions of the frame.
    """

    def __init__(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Sample the centre, the radius and the direction."""
        self.canvas = canvas
        self.rng = rng
        self.radius = rng.uniform(0.22, 0.38)
        self._centre = rng.uniform(0.4, 0.6, 2)
        self._axes = self.radius * np.array([rng.choice([-1.0, 1.0]), 1.0])

    def polygon(self, corners: Sequence[Point], fill: Color) -> None:
        """Fill a polygon; (0, 0) is the centre of the spot, y points down."""
        self.canvas.polygon(np.asarray(corners) * self._axes + self._centre, fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Color) -> None:
        """Fill a rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def ellipse(self, centre: Point, radius_x: float, radius_y: float, fill: Color) -> None:
        """Fill an ellipse."""
        x, y = np.asarray(centre) * self._axes + self._centre
        self.canvas.ellipse((x, y), radius_x * self.radius, radius_y * self.radius, fill)

    def line(self, points: Sequence[Point], width: float, fill: Color) -> None:
        """Draw a polyline."""
        self.canvas.line(np.asarray(points) * self._axes + self._centre, width * self.radius, fill)
