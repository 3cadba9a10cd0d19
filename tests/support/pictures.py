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


def _transparent(seed: int) -> Image.Image:
    image = photograph(seed).convert("RGBA")
    image.paste((9, 9, 9, 0), (0, 0, 45, 60))
    image.paste((0, 0, 0, 128), (45, 30, 90, 60))
    return image


def _transparent_as_seen(seed: int) -> Image.Image:
    image = photograph(seed)
    image.paste((255, 255, 255), (0, 0, 45, 60))
    image.paste((127, 127, 127), (45, 30, 90, 60))
    return image


def _palette(seed: int) -> Image.Image:
    return photograph(seed).quantize(16)


def _grey_transparent() -> Image.Image:
    image = photograph(19).convert("LA")
    image.paste((0, 0), (0, 0, 45, 60))
    return image


def _grey_transparent_as_seen() -> Image.Image:
    image = photograph(19).convert("L")
    image.paste(255, (0, 0, 45, 60))
    return image.convert("RGB")


def _keyed() -> Image.Image:
    image = photograph(20)
    image.paste((1, 2, 3), (0, 0, 45, 60))
    return image


def _keyed_as_seen() -> Image.Image:
    image = photograph(20)
    image.paste((255, 255, 255), (0, 0, 45, 60))
    return image


def _sixteen_bits(transparent: bool = False) -> bytes:
    """A PNG of 16-bit grey; Pillow has no way to write one of each mode that it reads."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    shown = photograph(23 if transparent else 14).convert("L")
    grey = np.asarray(shown).astype(">u2") * 256 + 77
    key = chunk(b"tRNS", struct.pack(">H", grey[0, 0])) if transparent else b""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey)
    header = struct.pack(">IIBBBBB", *SIZE, 16, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return png + key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PICTURES = {
    "plain.png": written(photograph(10), "PNG"),
    "turned.jpg": _turned(),
    "small.jpg": written(photograph(18, (20, 14)), "JPEG", quality=90, subsampling=0),
    "print.jpg": written(photograph(12).convert("CMYK"), "JPEG", quality=95),
    "transparent.png": written(_transparent(13), "PNG"),
    "sixteen.png": _sixteen_bits(),
    "sixteen-keyed.png": _sixteen_bits(transparent=True),
    "palette.png": written(_palette(15), "PNG", transparency=0),
    "palette-bytes.png": written(_palette(22), "PNG", transparency=bytes([0, 255])),
    "grey-transparent.png": written(_grey_transparent(), "PNG"),
    "keyed.png": written(_keyed(), "PNG", transparency=(1, 2, 3)),
    "transparent.webp": written(_transparent(21), "WEBP", lossless=True, exact=True),
    "moving.webp": written(
        photograph(16), "WEBP", lossless=True, save_all=True, append_images=[photograph(17)]
    ),
}
"""Name to bytes."""


def _palette_as_seen(seed: int) -> Image.Image:
    image = _palette(seed)
    indices, colours = np.asarray(image), np.asarray(image.convert("RGB")).copy()
    colours[indices == 0] = 255
    return Image.fromarray(colours)


def _sixteen_keyed_as_seen() -> Image.Image:
    grey = np.asarray(photograph(23).convert("L")).copy()
    grey[grey == grey[0, 0]] = 255
    return Image.fromarray(grey).convert("RGB")


SHOWN = {
    "plain.png": photograph(10),
    "turned.jpg": photograph(11).rotate(-90, expand=True),
    "small.jpg": photograph(18, (20, 14)),
    "print.jpg": photograph(12),
    "transparent.png": _transparent_as_seen(13),
    "sixteen.png": photograph(14).convert("L").convert("RGB"),
    "sixteen-keyed.png": _sixteen_keyed_as_seen(),
    "palette.png": _palette_as_seen(15),
    "palette-bytes.png": _palette_as_seen(22),
    "grey-transparent.png": _grey_transparent_as_seen(),
    "keyed.png": _keyed_as_seen(),
    "transparent.webp": _transparent_as_seen(21),
    "moving.webp": photograph(16),
}
"""Name to what is to be seen."""
