"""A figure as part of a page: SVG whose colours the page chooses."""

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

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_PIXELS = 96 / 72
"""CSS pixels of a point."""

_COLOURS = re.compile("|".join(VARIABLES), re.IGNORECASE)
_FAMILY = re.compile(r"(font: [^';]*)'[^;]*")
"""A page has fonts of its own; the families that matplotlib names stand in quotes."""


def inline_svg(drawn: Drawn) -> str:
    """Return a figure as an ``svg`` element for an HTML page; the same twice.

    It has no background, takes the page's width up to its natural one, and is one image to a screen
    reader, whose name is the first sentence of the caption. Its ids begin with a hash of what it
    shows, so that several figures may stand on a page; colours are variables (`VARIABLES`).
    """
    content = io.BytesIO()
    with mpl.rc_context(drawn.look.settings()):
        drawn.figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    prefix = f"f{hashlib.sha256(content.getvalue()).hexdigest()[:10]}-"
    ElementTree.register_namespace("", _SVG)
    # What matplotlib wrote a moment ago.
    svg = ElementTree.fromstring(content.getvalue())  # noqa: S314
    svg[:] = [part for part in svg if part.tag != f"{{{_SVG}}}metadata"]
    for element in svg.iter():
        _make_part_of_page(element, prefix)
    for attribute in ("width", "height", "version"):
        svg.attrib.pop(attribute, None)
    width = drawn.figure.get_figwidth() * 72 * _PIXELS
    svg.attrib |= {
        "id": prefix.rstrip("-"),
        "role": "img",
        "aria-label": drawn.caption.partition(". ")[0],
        "style": f"display:block;width:100%;max-width:{width:.0f}px;height:auto",
    }
    return ElementTree.tostring(svg, encoding="unicode")


def _make_part_of_page(element: Element, prefix: str) -> None:
    """Give an element ids of its own figure, and a page's colours and fonts."""
    element.attrib = dict(_on_page(element.attrib, prefix))
    if element.tag == f"{{{_SVG}}}style":
        # The rule is for everything, which would be the page's elements too.
        element.text = (element.text or "").replace("*", f"#{prefix.rstrip('-')} *")


def _on_page(attributes: dict[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in attributes.items():
        if name == "id":
            yield name, prefix + value
        elif name == _LINK:
            yield "href", f"#{prefix}{value[1:]}" if value.startswith("#") else value
        else:
            yield name, _FAMILY.sub(r"\1system-ui, sans-serif", _with_variables(value, prefix))


def _with_variables(value: str, prefix: str) -> str:
    coloured = _COLOURS.sub(_variable, value)
    return coloured.replace("url(#", f"url(#{prefix}")


def _variable(colour: re.Match[str]) -> str:
    names = {known.lower(): name for known, name in VARIABLES.items()}
    return f"var(--{names[colour[0].lower()]}, {colour[0].lower()})"
