"""A supersampled drawing surface addressed in fractions of the frame."""

import colorsys
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SUPERSAMPLING = 4

Color = tuple[int, int, int]
Point = tuple[float, float]
FloatArray = NDArray[np.float64]
Image8 = NDArray[np.uint8]


def seeded(domain: str, name: str, seed: int) -> np.random.Generator:
    """Return the generator of random numbers that belongs to one picture."""
    return np.random.default_rng([seed, zlib.crc32(f"{domain}/{name}".encode())])


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with the given probability."""
    return bool(rng.random() < probability)


def pick(rng: np.random.Generator, colors: Sequence[Color], spread: float = 10.0) -> Color:
    """Sample one of the colours and perturb it (spread: standard deviation, 0-255 units)."""
    return jitter(rng, colors[int(rng.integers(len(colors)))], spread)


def jitter(rng: np.random.Generator, color: Color, spread: float) -> Color:
    """Add Gaussian noise to a colour (spread: standard deviation, 0-255 units)."""
    red, green, blue = rng.normal(0.0, spread, 3)
    return _clip(color[0] + red, color[1] + green, color[2] + blue)


def shade(color: Color, factor: float) -> Color:
    """Multiply a colour by a brightness factor."""
    return _clip(color[0] * factor, color[1] * factor, color[2] * factor)


def any_color(rng: np.random.Generator) -> Color:
    """Sample a colour of any hue, from pastel to saturated and from dark to light."""
    hue, saturation, value = rng.uniform(0.0, 1.0), rng.uniform(0.15, 0.85), rng.uniform(0.35, 1.0)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return _clip(255.0 * red, 255.0 * green, 255.0 * blue)


def _clip(red: float, green: float, blue: float) -> Color:
    return (
        min(255, max(0, int(red))),
        min(255, max(0, int(green))),
        min(255, max(0, int(blue))),
    )


class Canvas:
    """A square picture being drawn; (0, 0) is its top left and (1, 1) its bottom right corner.

    Attributes:
        on_subject: whether what is drawn now is the subject, which a `Silhouette` tells apart.
    """

    on_subject = False

    def __init__(self, size: int) -> None:
        """Start a black picture that will be `size` pixels wide and high."""
        self._pixels = size * SUPERSAMPLING
        self._image = Image.new("RGB", (self._pixels, self._pixels))
        self._draw = ImageDraw.Draw(self._image)

    def gradient(self, top: Color, bottom: Color) -> None:
        """Fill the whole picture with a vertical gradient."""
        steps = np.linspace(0.0, 1.0, self._pixels)[:, None]
        column = np.asarray(top) * (1.0 - steps) + np.asarray(bottom) * steps
        strip = Image.fromarray(column.astype(np.uint8)[:, None, :])
        self._image.paste(strip.resize((self._pixels, self._pixels), Image.Resampling.NEAREST))

    def polygon(
        self, corners: FloatArray | Sequence[Point], fill: Color, outline: Color | None = None
    ) -> None:
        """Fill a polygon; `corners` is [K, 2] in fractions of the frame."""
        flat = (np.asarray(corners) * self._pixels).ravel().tolist()
        self._draw.polygon(flat, fill=fill, outline=outline)

    def ellipse(self, centre: Point, radius_x: float, radius_y: float, fill: Color) -> None:
        """Fill an axis-aligned ellipse."""
        x, y = centre
        scaled = [
            edge * self._pixels for edge in (x - radius_x, y - radius_y, x + radius_x, y + radius_y)
        ]
        self._draw.ellipse(scaled, fill=fill)

    def rectangle(self, left: float, top: float, right: float, bottom: float, fill: Color) -> None:
        """Fill an axis-aligned rectangle."""
        self._draw.rectangle(
            [edge * self._pixels for edge in (left, top, max(left, right), max(top, bottom))],
            fill=fill,
        )

    def line(self, points: FloatArray | Sequence[Point], width: float, fill: Color) -> None:
        """Draw a polyline of the given width (a fraction of the frame)."""
        flat = (np.asarray(points) * self._pixels).ravel().tolist()
        self._draw.line(flat, fill=fill, width=max(1, round(width * self._pixels)))

    def tile(self) -> "Canvas":
        """Return a black picture of half the width and height, for `paste`."""
        return Canvas(self._pixels // (2 * SUPERSAMPLING))

    def paste(self, tile: "Canvas", left: float, top: float) -> None:
        """Put another picture into this one, its corner at a place in fractions of the frame."""
        corner = (round(left * self._pixels), round(top * self._pixels))
        self._image.paste(tile._image, corner)

    def develop(self, rng: np.random.Generator, grain_rng: np.random.Generator) -> Image8:
        """Reduce to the final size with a random exposure, contrast, cast and grain.

        Args:
            rng: source of exposure, contrast and cast.
            grain_rng: source of the grain.

        Returns:
            RGB picture, uint8 [size, size, 3].
        """
        picture = np.asarray(self._image.reduce(SUPERSAMPLING), dtype=np.float64)
        contrast, exposure = rng.uniform(0.8, 1.12), rng.uniform(-22.0, 18.0)
        cast = rng.normal(1.0, 0.035, 3)
        grain = grain_rng.normal(0.0, grain_rng.uniform(0.0, 2.0), picture.shape)
        developed = ((picture - 128.0) * contrast + 128.0 + exposure) * cast + grain
        return np.clip(developed, 0.0, 255.0).astype(np.uint8)


class Silhouette(Canvas):
    """The same picture in two colours: white where the subject is seen, black elsewhere."""

    def gradient(self, top: Color, bottom: Color) -> None:
        """Fill the whole picture."""
        super().gradient(self._ink, self._ink)

    def polygon(
        self, corners: FloatArray | Sequence[Point], fill: Color, outline: Color | None = None
    ) -> None:
        """Fill a polygon."""
        super().polygon(corners, self._ink, self._ink if outline else None)

    def ellipse(self, centre: Point, radius_x: float, radius_y: float, fill: Color) -> None:
        """Fill an axis-aligned ellipse."""
        super().ellipse(centre, radius_x, radius_y, self._ink)

    def rectangle(self, left: float, top: float, right: float, bottom: float, fill: Color) -> None:
        """Fill an axis-aligned rectangle."""
        super().rectangle(left, top, right, bottom, self._ink)

    def line(self, points: FloatArray | Sequence[Point], width: float, fill: Color) -> None:
        """Draw a polyline of the given width (a fraction of the frame)."""
        super().line(points, width, self._ink)

    def shares(self) -> FloatArray:
        """Return the share of each final pixel that is the subject's, float64 [size, size]."""
        size = self._pixels // SUPERSAMPLING
        white = np.asarray(self._image)[:, :, 0] > 0
        shares: FloatArray = white.reshape(size, SUPERSAMPLING, size, -1).mean(axis=(1, 3))
        return shares

    @property
    def _ink(self) -> Color:
        return (255, 255, 255) if self.on_subject else (0, 0, 0)


class Sketch(Canvas):
    """The same picture as a sketch: every shape becomes an outline on paper."""

    def __init__(self, canvas: Canvas, paper: Color, ink: Color) -> None:
        """Draw on a canvas in ink; what lies behind a shape is hidden by paper."""
        self._pixels, self._image, self._draw = canvas._pixels, canvas._image, canvas._draw
        self._paper, self._ink = paper, ink

    def polygon(
        self, corners: FloatArray | Sequence[Point], fill: Color, outline: Color | None = None
    ) -> None:
        """Draw the outline of a polygon."""
        super().polygon(corners, self._paper)
        closed = np.concatenate([np.asarray(corners), np.asarray(corners)[:1]])
        super().line(closed, 0.02, self._ink)

    def line(self, points: FloatArray | Sequence[Point], width: float, fill: Color) -> None:
        """Draw a polyline, thin."""
        super().line(points, 0.02, self._ink)
