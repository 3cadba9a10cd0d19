"""Pictures as the web has them: turned, in print colours, transparent, of 16 bits."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

SIZE = (90, 60)


def photograph(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a picture of smooth patches, which survive a JPEG; any two look different."""
    coarse = np.random.default_rng(seed).integers(30, 226, (4, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def written(image: Image.Image, kind: str, **how: Any) -> bytes:
    """Return an image as Pillow writes it."""
    image.save(stream := io.BytesIO(), kind, **how)
    return stream.getvalue()


def _turned() -> bytes:
    notes = Image.Exif()
    notes[0x0112] = 6  # Turn right by a quarter to see it.
    return written(photograph(11), "JPEG", quality=95, subsampling=0, exif=notes)


def _transparent() -> Image.Image:
    image = photograph(13).convert("RGBA")
    image.paste((9, 9, 9, 0), (0, 0, 45, 60))
    image.paste((0, 0, 0, 128), (45, 30, 90, 60))
    return image


def _transparent_as_seen() -> Image.Image:
    image = photograph(13)
    image.paste((255, 255, 255), (0, 0, 45, 60))
    image.paste((127, 127, 127), (45, 30, 90, 60))
    return image


def _palette() -> Image.Image:
    return photograph(15).quantize(16)


def _sixteen_bits() -> bytes:
    """A PNG of 16-bit grey; Pillow has no way to write one of each mode that it reads."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    grey = np.asarray(photograph(14).convert("L")).astype(">u2") * 256 + 77
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey)
    header = struct.pack(">IIBBBBB", *SIZE, 16, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return png + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PICTURES = {
    "plain.png": written(photograph(10), "PNG"),
    "turned.jpg": _turned(),
    "small.jpg": written(photograph(18, (20, 14)), "JPEG", quality=90, subsampling=0),
    "print.jpg": written(photograph(12).convert("CMYK"), "JPEG", quality=95),
    "transparent.png": written(_transparent(), "PNG"),
    "sixteen.png": _sixteen_bits(),
    "palette.png": written(_palette(), "PNG", transparency=0),
    "moving.webp": written(
        photograph(16), "WEBP", lossless=True, save_all=True, append_images=[photograph(17)]
    ),
}
"""Name to bytes."""


def _palette_as_seen() -> Image.Image:
    indices, colours = np.asarray(_palette()), np.asarray(_palette().convert("RGB")).copy()
    colours[indices == 0] = 255
    return Image.fromarray(colours)


SHOWN = {
    "plain.png": photograph(10),
    "turned.jpg": photograph(11).rotate(-90, expand=True),
    "small.jpg": photograph(18, (20, 14)),
    "print.jpg": photograph(12),
    "transparent.png": _transparent_as_seen(),
    "sixteen.png": photograph(14).convert("L").convert("RGB"),
    "palette.png": _palette_as_seen(),
    "moving.webp": photograph(16),
}
"""Name to what is to be seen."""
