"""A figure as part of a page: a small SVG whose colours the page chooses."""

import hashlib
import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib as mpl

from results.drawing.drawn import Drawn
from results.drawing.look import ENDED, GRID, GROUND, HARM, INK, MUTED, SPARE, STYLES

VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    ENDED: "ended",
    HARM: "harm",
    GROUND: "ground",
    **{style.colour: source for source, style in STYLES.items()},
    **{style.colour: f"spare-{place}" for place, style in enumerate(SPARE, start=1)},
}
"""Colour to the CSS variable that a page may replace it by: ``var(--ink, #222222)``."""

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_PIXELS = 96 / 72
"""CSS pixels of a point."""

_NAMES = {colour.lower(): name for colour, name in VARIABLES.items()}
_COLOUR = re.compile("|".join(_NAMES))
_FAMILY = re.compile("font-family:[^;]*;?")
_UNTURNED = "rotate(-0 "
"""Begins the transformation of a text that is level."""

_PAINT = ("fill", "stroke")
"""Attributes that hold a colour: of the patterns that stripe a bar."""

_REFERENCE = re.compile(r"url\(#([^)]*)\)")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def inline_svg(drawn: Drawn) -> str:
    """Return a figure as an ``svg`` element for an HTML page; the same twice.

    It has no background, takes the page's width up to its natural one, and is one image to a screen
    reader, whose name is the first sentence of the caption. Its ids begin with a hash of what it
    shows, so that several figures may stand on a page; colours are variables (`VARIABLES`), and the
    font is the page's.
    """
    content = io.BytesIO()
    with mpl.rc_context(drawn.look.settings()):
        drawn.figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    name = f"f{hashlib.sha256(content.getvalue()).hexdigest()[:10]}"
    # What matplotlib wrote a moment ago.
    svg = ElementTree.fromstring(content.getvalue())  # noqa: S314
    svg[:] = [part for part in svg if part.tag != f"{_SVG}metadata"]
    referenced = set(_references(svg))
    for element in svg.iter():
        element.attrib = dict(_on_page(element.attrib, name, referenced))
        if element.tag == f"{_SVG}style":
            # The rule is for everything, which would be the page's elements too.
            element.text = (element.text or "").replace("*", f"#{name} *")
    _drop_bare_groups(svg)
    width = drawn.figure.get_figwidth() * 72 * _PIXELS
    svg.attrib = {
        "id": name,
        "viewBox": svg.attrib["viewBox"],
        "role": "img",
        "aria-label": drawn.caption.partition(". ")[0],
        "style": f"display:block;width:100%;max-width:{width:.0f}px;height:auto",
    }
    ElementTree.register_namespace("", _SVG.strip("{}"))
    return ElementTree.tostring(svg, encoding="unicode")


def _references(svg: Element) -> Iterator[str]:
    """Yield the ids that elements refer to."""
    for element in svg.iter():
        for value in element.attrib.values():
            yield from _REFERENCE.findall(value)
        yield element.get(_LINK, "").removeprefix("#")


def _on_page(
    attributes: dict[str, str], name: str, referenced: set[str]
) -> Iterator[tuple[str, str]]:
    """Yield an element's attributes, with ids of its own figure and a page's colours and fonts."""
    for key, value in attributes.items():
        if key == "id":
            if value in referenced:
                yield key, f"{name}-{value}"
        elif key == _LINK:
            yield "href", f"#{name}-{value[1:]}" if value.startswith("#") else value
        elif key == "style":
            tight = value.replace("; ", ";").replace(": ", ":")
            linked = _REFERENCE.sub(rf"url(#{name}-\1)", _FAMILY.sub("", tight))
            yield key, _COLOUR.sub(_variable, linked)
        elif key in _PAINT:
            yield key, _COLOUR.sub(_variable, value)
        elif not value.startswith(_UNTURNED):
            linked = _REFERENCE.sub(rf"url(#{name}-\1)", value)
            yield key, _LONG_NUMBER.sub(_rounded, " ".join(linked.split()))


def _variable(colour: re.Match[str]) -> str:
    return f"var(--{_NAMES[colour[0]]}, {colour[0]})"


def _rounded(number: re.Match[str]) -> str:
    """Return a number of points to a hundredth of one."""
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _drop_bare_groups(parent: Element) -> None:
    """Replace groups that say nothing by what is in them; no white space between elements."""
    parts = []
    for part in parent:
        _drop_bare_groups(part)
        part.tail = None
        parts += list(part) if part.tag == f"{_SVG}g" and not part.attrib else [part]
    if len(parent) and parent.text and not parent.text.strip():
        parent.text = None
    parent[:] = parts
