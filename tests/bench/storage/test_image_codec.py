"""One way to decode, fit and encode: any picture comes out as it is to be seen."""

import io
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bench.storage.image_codec import (
    FORMATS,
    MAX_BLENDED_PIXELS,
    MAX_SIDE,
    ImageFormat,
    OversizedImageError,
    decode,
    encode,
    other_backgrounds,
    to_rgb,
)
from tests.conftest import ROOT
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


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP"])
def test_the_orientation_is_read_in_every_format(kind: str) -> None:
    notes = Image.Exif()
    notes[0x0112] = 8
    upright = decode(written(photograph(2), kind, exif=notes, quality=95))
    assert apart(upright, photograph(2).rotate(90, expand=True)) <= 3


def orientation(kind: int, count: int, value: bytes) -> bytes:
    """Return EXIF with an orientation of any type; 3 is the right one."""
    entry = struct.pack("<HHHI", 1, 0x0112, kind, count) + value
    return b"Exif\0\0II*\0\x08\0\0\0" + entry + bytes(4)


NOTES = {
    "cut off": b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
    "endless": b"Exif\0\0II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "elsewhere": b"Exif\0\0II*\0\xff\xff\xff\xff",
    "0": orientation(3, 1, b"\0\0\0\0"),
    "9": orientation(3, 1, b"\x09\0\0\0"),
    "text": orientation(2, 2, b"6\0\0\0"),
    "bytes": orientation(7, 1, b"\6\0\0\0"),
    "none": orientation(3, 0, b"\6\0\0\0"),
    "ratio": orientation(5, 1, b"\x08\0\0\0"),
    "unknown": orientation(99, 1, b"\6\0\0\0"),
}


@pytest.mark.parametrize("notes", NOTES.values(), ids=NOTES)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_an_orientation_that_cannot_be_read_costs_no_image(notes: bytes) -> None:
    assert apart(decode(written(photograph(2), "PNG", exif=notes)), photograph(2)) == 0


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "I;16"])
def test_images_of_any_mode_become_rgb(mode: str) -> None:
    Image.new(mode, (5, 4)).save(stream := io.BytesIO(), "PNG")
    image = decode(stream.getvalue())
    assert (image.mode, image.size) == ("RGB", (5, 4))


@pytest.mark.parametrize("image", [Image.new("F", (2, 2)), Image.new("I", (2, 2), 70_000)])
def test_numbers_without_a_known_range_are_refused(image: Image.Image) -> None:
    with pytest.raises(ValueError, match="no known range"):
        to_rgb(image)


GREY = np.asarray(photograph(4).convert("L"))


def tiff(bits: int, kind: int, data: bytes, photometric: int = 1) -> bytes:
    """Return a grey TIFF of one strip; kind is 1 for whole numbers, 2 for signed ones, 3 else."""
    tags = {256: 90, 257: 60, 258: bits, 259: 1, 262: photometric, 277: 1, 278: 60, 339: kind}
    tags |= {273: 8 + 2 + 12 * 10 + 4, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def twelve_bits() -> bytes:
    pairs = (GREY.astype(int) * 16 + 9).reshape(-1, 2)
    high, low = pairs.T
    octets = np.stack([high >> 4, (high & 15) << 4 | low >> 8, low & 255], axis=1)
    return octets.astype(np.uint8).tobytes()


DEEP = {
    "TIFF of 16 bits": tiff(16, 1, (GREY.astype("<u2") * 257).tobytes()),
    "TIFF whose zero is white": tiff(16, 1, (65_535 - GREY.astype("<u2") * 257).tobytes(), 0),
    "TIFF of 12 bits": tiff(12, 1, twelve_bits()),
    "PGM of 16 bits": b"P5 90 60 65535\n" + (GREY.astype(">u2") * 257).astype(">u2").tobytes(),
    "PGM of 12 bits": b"P5 90 60 4095\n" + (GREY.astype(">u2") * 16 + 8).astype(">u2").tobytes(),
}


@pytest.mark.parametrize("content", DEEP.values(), ids=DEEP)
def test_deep_grey_is_read_by_the_range_of_its_type(content: bytes) -> None:
    assert np.abs(array(decode(content))[:, :, 0] - GREY).max() <= 1


@pytest.mark.parametrize(
    "content",
    [
        tiff(32, 1, GREY.astype("<u4").tobytes()),
        tiff(16, 2, GREY.astype("<i2").tobytes()),
        tiff(32, 3, GREY.astype("<f4").tobytes()),
        b"Pf 90 60 -1.0\n" + GREY.astype("<f4").tobytes(),
    ],
)
def test_files_of_numbers_without_a_known_range_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no known range"):
        decode(content)


MOVING = {"save_all": True, "append_images": [photograph(6)]}
FILES = {
    "tiff": written(photograph(5), "TIFF"),
    "tiff of print colours": written(photograph(5).convert("CMYK"), "TIFF"),
    "tiff of two pages": written(photograph(5), "TIFF", **MOVING),
    "tiff, compressed": written(photograph(5), "TIFF", compression="tiff_lzw"),
    "ppm": written(photograph(5), "PPM"),
    "bmp": written(photograph(5), "BMP"),
    "apng": written(photograph(5), "PNG", **MOVING),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_formats_of_data_sets_are_read_and_of_several_pages_the_first(content: bytes) -> None:
    assert apart(decode(content), photograph(5)) == 0


def test_a_gif_s_first_frame_and_a_fax_are_read() -> None:
    few, two = photograph(5).quantize(16), photograph(5).convert("1")
    moving = written(few, "GIF", save_all=True, append_images=[photograph(6).quantize(16)])
    assert apart(decode(moving), few.convert("RGB")) == 0
    assert apart(decode(written(two, "TIFF", compression="group4")), two.convert("RGB")) == 0


@pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow has no AVIF")
def test_avif_is_read_upright_and_on_white() -> None:
    notes = Image.Exif()
    notes[0x0112] = 6
    best = {"quality": 100, "subsampling": "4:4:4"}
    turned = decode(written(photograph(5), "AVIF", exif=notes, **best))
    assert apart(turned, photograph(5).rotate(-90, expand=True)) < 2
    seen_through = photograph(5).convert("RGBA")
    seen_through.putalpha(0)
    assert decode(written(seen_through, "AVIF", **best)).getextrema() == ((255, 255),) * 3


def test_what_is_no_image_is_said_by_how_it_begins_and_without_an_address() -> None:
    for content, said in ((b"<html><body>", "begins with b'<html><body>'"), (b"", "it is empty")):
        with pytest.raises(ValueError, match=said) as refused:
            decode(content)
        assert "object at" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Where Pillow writes, pytest listens.
def test_nothing_of_what_pillow_says_reaches_the_terminal() -> None:
    palette = written(photograph(5).quantize(16), "PNG", transparency=bytes([0, 9, 255]))
    notes = written(photograph(5), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    cut = written(photograph(5), "TIFF", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")[:-2000]
    code = f"""
from bench.storage.image_codec import decode
for content in {[palette, notes, cut, bomb(10_000), b"GIF89a"]}:
    try:
        decode(content)
    except ValueError:
        pass
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_a_transparent_image_is_known_on_other_backgrounds_too() -> None:
    opaque, seen_through = photograph(5), photograph(5).convert("RGBA")
    opacity = Image.linear_gradient("L").resize(opaque.size)
    seen_through.putalpha(opacity)
    ground = Image.new("RGBA", opaque.size, "black")
    expected = Image.alpha_composite(ground, seen_through).convert("RGB")
    notes = Image.Exif()
    notes[0x0112] = 6
    black, dropped = other_backgrounds(decode(written(seen_through, "PNG", exif=notes))).values()
    assert apart(black, expected.rotate(-90, expand=True)) == 0
    assert apart(dropped, opaque.rotate(-90, expand=True)) == 0
    seen_through.putalpha(255)
    assert not other_backgrounds(decode(written(opaque, "PNG")))
    assert not other_backgrounds(decode(written(seen_through, "PNG")))


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


def png(header: tuple[int, int, int, int], rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of a width, height, depth and colour type, with more chunks."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    chunks = [(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0)), *more]
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def bomb(side: int) -> bytes:
    """Return a small PNG that says it is huge."""
    return png((side, side, 8, 2), b"\0" * 1000)


KEYED = {
    "grey of 1 bit": png((2, 1, 1, 0), b"\0\x80", (b"tRNS", b"\0\1")),
    "grey of 2 bits": png((2, 1, 2, 0), b"\0\x40", (b"tRNS", b"\0\1")),
    "grey of 4 bits": png((2, 1, 4, 0), b"\0\x30", (b"tRNS", b"\0\3")),
    "grey of 16 bits": png((2, 1, 16, 0), b"\0\x33\x44\0\0", (b"tRNS", b"\x33\x44")),
    "colour of 16 bits": png((2, 1, 16, 2), b"\0" + b"\x33\x44" * 3 + bytes(6),
                             (b"tRNS", b"\x33\x44" * 3)),
}  # fmt: skip


@pytest.mark.parametrize("content", KEYED.values(), ids=KEYED)
def test_a_level_that_stands_for_transparent_is_white_at_any_depth(content: bytes) -> None:
    assert array(decode(content))[0].tolist() == [[255] * 3, [0] * 3]


def test_grey_of_two_bits_that_has_no_such_level_stays_as_it_is() -> None:
    assert array(decode(png((2, 1, 2, 0), b"\0\x40")))[0].tolist() == [[85] * 3, [0] * 3]


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
