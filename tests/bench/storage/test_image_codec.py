"""One way to decode, fit and encode: any picture comes out as it is to be seen."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bench.storage.image_codec import (
    MAX_BLENDED_PIXELS,
    MAX_SIDE,
    ImageFormat,
    OversizedImageError,
    decode,
    encode,
    to_rgb,
)
from tests.support.pictures import PICTURES, SHOWN, photograph, written

PNG = encode(photograph(0), ".png")


def array(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image.convert("RGB"), np.int64)


def apart(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two images, of 255 levels."""
    assert one.size == other.size
    return float(np.abs(array(one) - array(other)).mean())


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_read_as_it_is_to_be_seen(name: str) -> None:
    image = decode(PICTURES[name])
    assert image.mode == "RGB"
    # A JPEG of quality 95 is not exact; another colour, turn or background is far off.
    assert apart(image, SHOWN[name]) <= (3 if name.endswith(".jpg") else 0)


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_is_undone_once(turn: int) -> None:
    notes = Image.Exif()
    notes[0x0112] = turn
    content = written(photograph(1), "PNG", exif=notes)
    stored, upright = photograph(1), decode(content)
    turned = {
        1: stored, 2: stored.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: stored.rotate(180), 4: stored.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: stored.transpose(Image.Transpose.TRANSPOSE), 6: stored.rotate(-90, expand=True),
        7: stored.transpose(Image.Transpose.TRANSVERSE), 8: stored.rotate(90, expand=True),
    }  # fmt: skip
    assert apart(upright, turned[turn]) == 0
    assert apart(to_rgb(upright), upright) == 0
    # As torchvision hands it over: opened and converted, the note still there.
    assert apart(to_rgb(Image.open(io.BytesIO(content)).convert("RGB")), upright) == 0


def test_an_orientation_that_cannot_be_read_costs_no_image() -> None:
    content = written(photograph(2), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert apart(decode(content), photograph(2)) == 0


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "I;16"])
def test_images_of_any_mode_become_rgb(mode: str) -> None:
    Image.new(mode, (5, 4)).save(stream := io.BytesIO(), "PNG")
    image = decode(stream.getvalue())
    assert (image.mode, image.size) == ("RGB", (5, 4))


@pytest.mark.parametrize("image", [Image.new("F", (2, 2)), Image.new("I", (2, 2), 70_000)])
def test_numbers_without_a_known_range_are_refused(image: Image.Image) -> None:
    with pytest.raises(ValueError, match="no known range"):
        to_rgb(image)


@pytest.mark.parametrize(
    ("size", "fit", "expected"),
    [
        ((1024, 683), "keep", (384, 256)),
        ((683, 1024), "keep", (256, 384)),
        ((512, 512), "keep", (256, 256)),
        ((256, 256), "keep", (256, 256)),
        ((300, 200), "keep", (300, 200)),
        ((20, 10), "keep", (20, 10)),
        ((3000, 300), "keep", (1024, 102)),
        ((8000, 1), "keep", (1024, 1)),
        ((1024, 683), "border", (256, 256)),
        ((20, 10), "border", (256, 256)),
        ((256, 256), "border", (256, 256)),
    ],
)
def test_sizes_are_bounded_and_nothing_is_enlarged_but_by_border(
    size: tuple[int, int], fit: Any, expected: tuple[int, int]
) -> None:
    fitted = ImageFormat(fit=fit).fitted(Image.new("RGB", size, "black"))
    assert fitted.size == expected
    inside = round(256 * min(size) / max(size)) * 256 if fit == "border" else fitted.width
    white = int((array(fitted) == 255).all(axis=2).sum())
    assert white == (256 * 256 - inside if fit == "border" else 0)


def test_equal_pixels_are_equal_bytes_whatever_else_an_image_carries() -> None:
    plain, loaded = photograph(3), photograph(3)
    loaded.info = {"comment": b"from a shop", "icc_profile": b"x" * 99, "dpi": (300, 300)}
    for suffix in (".png", ".jpg"):
        assert encode(plain, suffix) == encode(loaded, suffix)
    assert loaded.info


def test_png_keeps_every_pixel_and_jpeg_nearly() -> None:
    assert apart(decode(PNG), photograph(0)) == 0
    flat = Image.new("RGB", (16, 16), (10, 100, 200))
    assert np.abs(array(decode(encode(flat, ".jpg"))) - array(flat)).max() <= 2


def test_a_jpeg_has_half_the_colour_resolution_as_the_authors_have() -> None:
    # The frame header: three components, the first sampled twice as often both ways.
    content = encode(photograph(0), ".jpg")
    start = content.index(b"\xff\xc0")
    assert content[start + 9] == 3
    assert [content[start + 11 + 3 * part] for part in range(3)] == [0x22, 0x11, 0x11]


def bomb(side: int) -> bytes:
    """Return a small PNG that says it is huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [8_001, 20_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    with pytest.raises(ValueError, match=r"pixels|not a readable image"):
        decode(bomb(side))


def test_a_large_transparent_image_is_refused() -> None:
    side = int(MAX_BLENDED_PIXELS**0.5) + 1
    content = written(Image.new("LA", (side, side)), "PNG", compress_level=1)
    with pytest.raises(OversizedImageError, match="pixels"):
        decode(content)


@pytest.mark.parametrize("size", [(MAX_SIDE + 1, 1), (1, MAX_SIDE + 1), (60_000_000, 1)])
def test_a_thread_of_an_image_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(OversizedImageError, match="pixels"):
        decode(written(Image.new("1", size), "PNG"))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.integers(0, 400).map(lambda cut: PNG[:cut]))
def test_bytes_that_are_no_image_are_refused_with_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a readable image"):
        decode(content)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(PICTURES)), st.data(), st.binary(min_size=1, max_size=8))
def test_a_damaged_picture_is_read_or_refused_with_a_value_error(
    name: str, data: st.DataObject, damage: bytes
) -> None:
    content = bytearray(PICTURES[name])
    place = data.draw(st.integers(0, len(content) - 1))
    content[place : place + len(damage)] = damage
    try:
        decode(bytes(content))
    except ValueError:
        return
