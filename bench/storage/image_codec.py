"""How images are decoded, fitted and encoded: one way for every source and every benchmark.

Both arms of a comparison go through it, so that they differ in nothing but what the images show.
"""

import io
import logging
import struct
import warnings
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError, features
from PIL.PngImagePlugin import PngImageFile

from bench.core.config import Config, Positive
from bench.core.json_values import Json

# Pillow warns of pages, notes and palettes of which nothing is read, and of sizes that are refused.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)

CODEC = 2
"""Raised whenever the same bytes are decoded, fitted or encoded otherwise; part of the config of
every stage that keeps images."""

FORMATS = (
    *(["AVIF"] if features.check("avif") else []),
    *("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"),
)
"""Formats of the web and of data sets; Pillow would hand others to programs such as Ghostscript.
AVIF where this Pillow has it, as all packages from PyPI do on Linux, macOS and Windows."""

IMAGE_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"),
    *(".ppm", ".tif", ".tiff", ".webp"),
)
"""Ends of the names, in lower case, of the files that are taken for images."""

MAX_PIXELS = 64_000_000
"""Larger images are refused: a decompression bomb costs one row, not the node."""

MAX_BLENDED_PIXELS = MAX_PIXELS // 8
"""The limit for images with transparency, which are laid on white in copies of four bytes a pixel:
a PNG of one megabyte may have as many, and 32 of them are decoded at once."""

MAX_SIDE = 65_535
"""The longest side, which a JPEG cannot exceed; Pillow cannot resize a PNG of a few kilobytes whose
one side takes all of `MAX_PIXELS`, or takes gigabytes for it."""

MAX_SCANS = 100
"""Most scans of a JPEG; a progressive one has about ten. Each scan takes a few bytes and the
decoding time of the whole image, so a small file could keep a worker busy for hours."""

MOST_ASPECT = 4
"""The longest side of a kept image, in times of `ImageFormat.size`: a banner cannot fill a disk."""

Suffix = Literal[".png", ".jpg"]
"""File format of kept images: lossless, or smaller."""

_START_OF_SCAN = b"\xff\xda"  # Within coded data, a zero follows every 255.

_TRANSPARENT = "transparent"  # In the notes of an image that was laid on white: what was laid.

_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # Tags of TIFF.

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what shows the image upright."""


class OversizedImageError(ValueError):
    """An image is too large to be decoded, or takes too long."""


class ImageFormat(Config, frozen=True, kw_only=True):
    """How a source keeps its images; the defaults are those of every source."""

    size: Positive = 256
    """Side in pixels: the longest shortest side with fit=keep, of the square with fit=border
    (Geng 2024, code, download_urls_img2dataset.py: 256)."""
    suffix: Suffix = ".jpg"
    """File format: PNG, without loss, or JPEG."""
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 95
    """Of a JPEG, whose colours have half the resolution: img2dataset's, which the authors used."""
    fit: Literal["keep", "border"] = "keep"
    """``keep`` reduces an image until its shortest side is at most size and its longest four times
    that, and neither pads nor enlarges; ``border``, the authors' choice, makes every image a square
    of size: enlarged if it is smaller, the rest of the square white."""

    @property
    def recipe(self) -> Json:
        """All that decides what a kept image is, for the config of a stage."""
        return {"codec": CODEC, **msgspec.to_builtins(self)}

    def fitted(self, image: Image.Image) -> Image.Image:
        """Return an RGB image in the size in which it is kept."""
        shortest, longest = sorted(image.size)
        if self.fit == "keep":
            return _scaled(image, min(1.0, self.size / shortest, MOST_ASPECT * self.size / longest))
        inner = _scaled(image, self.size / longest)
        if inner.width == inner.height:
            return inner
        square = Image.new("RGB", (self.size, self.size), "white")
        square.paste(inner, ((self.size - inner.width) // 2, (self.size - inner.height) // 2))
        return square

    def encoded(self, image: Image.Image) -> bytes:
        """Return an image's bytes."""
        return encode(image, self.suffix, self.quality)


def decode(content: bytes) -> Image.Image:
    """Decode one image to RGB, as `to_rgb` does; of an animation or a document, the first page.

    Raises:
        OversizedImageError: If it is larger than `MAX_PIXELS`, or than `MAX_BLENDED_PIXELS` and
            transparent, or longer than `MAX_SIDE`, or has more than `MAX_SCANS` scans.
        ValueError: If it is no image of `FORMATS`, or damaged; the text names no file.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        _check_bounds(image, content)
        _rescale_key(image)
        image.load()
        return to_rgb(image)
    except OversizedImageError:
        raise
    except Image.DecompressionBombError as error:
        raise OversizedImageError(str(error)) from error
    except UnidentifiedImageError as error:
        begins = f"it begins with {content[:16]!r}" if content else "it is empty"
        raise ValueError(f"not a readable image: {begins}") from error
    except _UNREADABLE as error:
        raise ValueError(f"not a readable image: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image that a library opened in RGB, upright, as it is to be seen.

    Transparent parts show white. Of 16 bits the upper eight count, in grey as Pillow has it in
    colour, and of 12 bits too: the range is the type's, never the image's own, which would show
    a dark image bright and two images of one data set in different light. Colour profiles do not
    count, as they do not where CLIP was trained (open_clip converts by Pillow too).

    Raises:
        ValueError: If its numbers have no known range.
    """
    turn = _TURNS.get(_orientation(image))
    rgb = _flat(image)
    if turn is None:
        return rgb
    upright = rgb.transpose(turn)
    upright.info = {}  # It would be turned again.
    if _TRANSPARENT in rgb.info:
        upright.info[_TRANSPARENT] = rgb.info[_TRANSPARENT].transpose(turn)
    return upright


def other_backgrounds(image: Image.Image) -> dict[str, Image.Image]:
    """Return how else programs show a decoded image that was transparent; nothing if it was not.

    Some lay it on black. Others drop its opacity, and the colours below it appear.
    """
    if _TRANSPARENT not in image.info:
        return {}
    visible = image.info[_TRANSPARENT]
    black = Image.new("RGBA", visible.size, "black")
    return {
        "on black": Image.alpha_composite(black, visible).convert("RGB"),
        "its opacity dropped": visible.convert("RGB"),
    }


def encode(image: Image.Image, suffix: str, quality: int = 95) -> bytes:
    """Encode an image as PNG, or as JPEG of a stated quality, its colours at half the resolution.

    Equal pixels give equal bytes: comments, profiles and the like are left out.
    """
    bare, stream = image.copy(), io.BytesIO()
    bare.info = {}
    if suffix == ".png":
        bare.save(stream, "PNG", compress_level=1)
    else:
        bare.save(stream, "JPEG", quality=quality, subsampling="4:2:0")
    return stream.getvalue()


def _check_bounds(image: Image.Image, content: bytes) -> None:
    """Refuse an image that was opened but not yet decoded, if that would take too much."""
    pixels = image.width * image.height
    most = MAX_BLENDED_PIXELS if image.has_transparency_data else MAX_PIXELS
    if pixels > most or max(image.size) > MAX_SIDE:
        raise OversizedImageError(
            f"image of {image.width} by {image.height} pixels "
            f"(at most {most:,}, and {MAX_SIDE:,} a side)"
        )
    # Pillow calls a JPEG of several pictures MPO.
    if image.format in ("JPEG", "MPO") and content.count(_START_OF_SCAN) > MAX_SCANS:
        raise OversizedImageError(f"JPEG of more than {MAX_SCANS} scans")


def _rescale_key(image: Image.Image) -> None:
    """Bring the colour that stands for transparent in a PNG to eight bits, as Pillow does pixels.

    It forgets it for grey of two and four bits and colour of 16. How pixels are coded is known only
    before they are decoded.
    """
    key = image.info.get("transparency")
    if key is None or not isinstance(image, PngImageFile):
        return
    coded = image.tile[0].args
    if coded in ("L;2", "L;4"):
        image.info["transparency"] = key * 255 // (2 ** int(coded[-1]) - 1)
    elif coded == "RGB;16B":
        image.info["transparency"] = tuple(level >> 8 for level in key)


def _flat(image: Image.Image) -> Image.Image:
    """Return an image in RGB, on white."""
    # Only PGM and older versions of Pillow have 16 bits in a mode of 32.
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise ValueError("its numbers have no known range; it can be saved with 8 or 16 bits")
    if image.mode.startswith("I"):
        return _of_16_bits(image)
    if image.has_transparency_data:
        visible = image.convert("RGBA")
        white = Image.new("RGBA", visible.size, "white")
        rgb = Image.alpha_composite(white, visible).convert("RGB")
        if visible.getchannel("A").getextrema() != (255, 255):
            rgb.info[_TRANSPARENT] = visible
        return rgb
    return image if image.mode == "RGB" else image.convert("RGB")


def _of_16_bits(image: Image.Image) -> Image.Image:
    """Return an image of 16-bit grey in RGB; Pillow itself would show all above 255 as white."""
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() >= 2**16:
        raise ValueError("grey values of more than 16 bits have no known range")
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    levels = (grey >> (bits - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:  # Zero is white, which Pillow heeds for 8 bits alone.
        levels = 255 - levels
    levels[grey == image.info.get("transparency", -1)] = 255
    return Image.fromarray(levels).convert("RGB")


def _orientation(image: Image.Image) -> Any:  # noqa: ANN401 (whatever the file says)
    """Return the EXIF orientation; 1, upright, where there is none or it cannot be read."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except _UNREADABLE:
        return 1


def _scaled(image: Image.Image, scale: float) -> Image.Image:
    """Return an image in another size, no side below one pixel."""
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


_UNREADABLE = (
    *(AttributeError, OSError, RuntimeError, SyntaxError, TypeError, ValueError),
    struct.error,
)
"""What Pillow raises for bytes that it cannot make sense of (seen in 3 M damaged files)."""
