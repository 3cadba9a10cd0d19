"""What counts as an image, judged before img2dataset decodes and resizes it."""

import io
from typing import Any

from PIL import Image

from bench.storage.tar_shards import MAX_PIXELS

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
"""What the web calls an image; Pillow would hand others to programs such as Ghostscript."""

MAX_BLENDED_PIXELS = MAX_PIXELS // 8
"""The bound for images with transparency: img2dataset blends them in float64, which takes 70 bytes
a pixel (measured), 5 GB for what is a megabyte as PNG."""


class CheckedResizer:
    """img2dataset's resizer, for images that are whole and not too large.

    OpenCV decodes an image before its size can be judged, and the half of one that is cut short.

    Args:
        settings: As of img2dataset's ``Resizer``.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        from img2dataset.resizer import Resizer

        self._resizer = Resizer(**settings)

    def __call__(self, stream: io.BytesIO, boxes: object = None) -> tuple[object, ...]:
        """Return the image's bytes, its four sizes, and what is wrong with it."""
        problem = complaint(stream)
        if problem:
            return None, None, None, None, None, problem
        resized: tuple[object, ...] = self._resizer(stream, boxes)
        return resized


MAX_SCANS = 100
"""Scans of one JPEG; a progressive one has about ten. Each costs the time of the whole image and a
few bytes: a small file could keep a worker busy for hours."""

_START_OF_SCAN = b"\xff\xda"  # Within coded data, a zero follows every 255.


def complaint(stream: io.BytesIO) -> str | None:
    """Return why some bytes are no image that may be kept; None if they are."""
    try:
        with Image.open(stream, formats=FORMATS) as image:
            blended = image.has_transparency_data
            if image.width * image.height > (MAX_BLENDED_PIXELS if blended else MAX_PIXELS):
                return "too large"
            if image.format == "JPEG" and stream.getvalue().count(_START_OF_SCAN) > MAX_SCANS:
                return "too large"
            # A JPEG is decoded at an eighth of its size: every byte is read, few pixels are made.
            image.draft("RGB", (1, 1))
            image.load()
    except Image.DecompressionBombError:
        return "too large"
    except (OSError, SyntaxError, ValueError):
        return "not an image"
    return None
