"""Pictures with names: emoji of three vendors, foods of India, and photographs for children."""

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageChops, ImageDraw, ImageFont

from tests.real import packages
from tests.real.packages import unpacked
from tests.real.qt_resources import resources

LANGUAGES = ("en", "hi", "ta", "fr", "de", "el", "ru", "vi", "tr", "ar", "ko", "zh")
"""Six scripts with letters that are composed of several characters, four without, and Latin ones
with accents, dots and a sharp s."""

VENDORS = ("noto", "fluent", "openmoji")

_SIDE = 109  # The one size of the bitmaps in Noto's font.
_CELL = (136, 128)  # Pixels of each.


class Picture(NamedTuple):
    """A picture that somebody else made and named.

    Attributes:
        origin: The vendor of an emoji, ``food`` or ``photo``.
        file: Its name with the format as suffix; no two of an origin have one.
        content: Its bytes.
        group: What it belongs to, such as *Food & Drink*.
        names: Its name in each language that has one; ``en`` always.
        caption: What its origin says about it beside the name; empty for nothing.
    """

    origin: str
    file: str
    content: bytes
    group: str
    names: dict[str, str]
    caption: str = ""


def emoji() -> list[Picture]:
    """Return the emoji of one character that all vendors show, each vendor's."""
    groups, names = _emoji_groups(), _emoji_names()
    vendors = {vendor: _VENDOR_PICTURES[vendor]() for vendor in VENDORS}
    letters = sorted(set(groups).intersection(names, *vendors.values()))
    return [
        Picture(vendor, f"{ord(letter):x}{suffix}", read(), groups[letter], names[letter])
        for vendor, pictures in vendors.items()
        for letter in letters
        for suffix, read in [pictures[letter]]
    ]


def foods() -> list[Picture]:
    """Return photographs of foods; their captions have local names: *H. Bajra; Tam. Kambu*."""
    assets = unpacked(packages.FOODS) / "package/assets"
    table = unpacked(packages.FOOD_NAMES) / "package/index.csv"
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    return [
        Picture("food", file.name, file.read_bytes(), group, {"en": name}, f"{latin}. {local}")
        for code, name, latin, local, group, *_ in rows
        if (file := assets / f"{code}.jpeg").is_file()
    ]


def photos() -> list[Picture]:
    """Return photographs of animals, tools, buildings and words; a file's name says of what."""
    folder = unpacked(packages.GCOMPRIS) / "usr/share/gcompris-qt/rcc"
    found = {}
    for file, group in _PHOTOS.items():
        for path, content in resources(folder / file):
            place, _, name = path.rpartition("/")
            if name.endswith(".webp") and "/resource" in place and not name.startswith("fish"):
                found[f"{group}-{Path(place).name}-{name}"] = group, name, content
    return [
        Picture("photo", file, content, group, {"en": _words(name)})
        for file, (group, name, content) in found.items()
    ]


_PHOTOS = {
    "lang.rcc": "words",
    "erase.rcc": "animals",
    "explore_world_animals.rcc": "animals",
    "explore_farm_animals.rcc": "animals",
    "explore_monuments.rcc": "monuments",
    "categorization.rcc": "things",
}
"""Resource file of an activity to what its photographs show."""


def _words(name: str) -> str:
    """Return ``northern harrier`` for northern_harrier.webp, ``eiffel tower`` for eiffelTower."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|[_-]", " ", Path(name).stem)
    return apart.lower()


def _emoji_groups() -> dict[str, str]:
    """Return each emoji of one character to its group in Unicode's charts."""
    folder = unpacked(packages.OPENMOJI) / "package"
    groups = json.loads((folder / "metadata.json").read_bytes())["categories"]
    codes = {name: code for code, name in _codes().items()}
    return {
        codes[name]: group.replace(" ", " & ")
        for group, listed in groups.items()
        if not group.startswith("Extras")
        for name in listed
        if name in codes
    }


def _emoji_names() -> dict[str, dict[str, str]]:
    """Return each emoji's names that Unicode gives: the texts that are read aloud."""
    folder = unpacked(packages.EMOJI_NAMES) / "package/annotations"
    names: dict[str, dict[str, str]] = {}
    for language in LANGUAGES:
        content = json.loads((folder / language / "annotations.json").read_bytes())
        for letter, texts in content["annotations"]["annotations"].items():
            if len(letter) == 1 and "tts" in texts:
                names.setdefault(letter, {})[language] = texts["tts"][0]
    return {letter: named for letter, named in names.items() if "en" in named}


@cache
def _codes() -> dict[str, str]:
    """Return the emoji of one character to their names at OpenMoji."""
    codes = json.loads((unpacked(packages.OPENMOJI) / "package/chars.json").read_bytes())
    return {chr(int(code, 16)): name for code, name in codes.items() if "-" not in code}


Pictures = dict[str, tuple[str, Callable[[], bytes]]]
"""Emoji to the format of its picture, and what reads it."""


def _noto() -> Pictures:
    fonts = import_module("fontTools.ttLib")  # Matplotlib needs it, so that it is there.
    path = unpacked(packages.NOTO) / "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
    font = ImageFont.truetype(path, _SIDE)

    def read(letter: str) -> bytes:
        image = Image.new("RGBA", _CELL)
        ImageDraw.Draw(image).text((0, 0), letter, font=font, embedded_color=True)
        image.save(stream := io.BytesIO(), "PNG", compress_level=1)
        return stream.getvalue()

    return {
        chr(code): (".png", _later(read, chr(code))) for code in fonts.TTFont(path).getBestCmap()
    }


def _fluent() -> Pictures:
    folder = unpacked(packages.FLUENT) / "package/assets"
    files = {file.stem.removesuffix("-fe0f"): file for file in folder.glob("*.webp")}
    return {
        chr(int(code, 16)): (".webp", file.read_bytes)
        for code, file in files.items()
        if "-" not in code
    }


def _openmoji() -> Pictures:
    sys.path.append(str(unpacked(packages.SVG_RENDERER)))
    svg_to_bytes = import_module("resvg_py").svg_to_bytes

    icons = json.loads((unpacked(packages.OPENMOJI) / "package/icons.json").read_bytes())
    box = f"0 0 {icons['width']} {icons['height']}"

    def read(name: str) -> bytes:
        body = icons["icons"][name]["body"]
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{body}</svg>'
        return bytes(svg_to_bytes(svg_string=svg, width=_CELL[1]))

    return {
        letter: (".png", _later(read, name))
        for letter, name in _codes().items()
        if name in icons["icons"]
    }


_VENDOR_PICTURES = {"noto": _noto, "fluent": _fluent, "openmoji": _openmoji}


def _later(read: Callable[[str], bytes], name: str) -> Callable[[], bytes]:
    return lambda: read(name)


def same(left: Image.Image, right: Image.Image) -> bool:
    """Return whether two images are equal to the pixel."""
    return left.size == right.size and ImageChops.difference(left, right).getbbox() is None
