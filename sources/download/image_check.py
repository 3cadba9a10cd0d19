"""Check that bytes are a whole image of bounded size, before img2dataset decodes them."""

import io
from typing import Any

from PIL import Image

from bench.storage.tar_shards import MAX_PIXELS

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
"""Image formats of the web; Pillow would hand others to programs such as Ghostscript."""

MAX_BLENDED_PIXELS = MAX_PIXELS // 8
"""The limit for images with transparency: img2dataset blends them in float64. That takes 70 bytes
a pixel (measured), so 5 GB for a PNG of one megabyte."""


class CheckedResizer:
    """img2dataset's resizer behind a check that the image is whole and not too large.

    OpenCV decodes an image before its size can be checked, and accepts one that is cut short.

    Args:
        settings: As of img2dataset's ``Resizer``.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        from img2dataset.resizer import Resizer

        self._resizer = Resizer(**settings)

    def __call__(self, stream: io.BytesIO, boxes: object = None) -> tuple[object, ...]:
        """Return the image's bytes, its four sizes, and the problem with it."""
        problem = image_problem(stream)
        if problem:
            return None, None, None, None, None, problem
        resized: tuple[object, ...] = self._resizer(stream, boxes)
        return resized


MAX_SCANS = 100
"""Most scans of a JPEG; a progressive one has about ten. Each scan takes a few bytes and the
decoding time of the whole image, so a small file could keep a worker busy for hours."""

_START_OF_SCAN = b"\xff\xda"  # Within coded data, a zero follows every 255.


def image_problem(stream: io.BytesIO) -> str | None:
    """Return why some bytes are not an image to keep; None if they are one."""
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
