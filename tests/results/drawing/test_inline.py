"""Figures as parts of a page."""

import re
from html.parser import HTMLParser

import matplotlib as mpl
from matplotlib.figure import Figure

from results.drawing.drawn import Drawn
from results.drawing.inline import VARIABLES, inline_svg
from results.drawing.look import HARM, INK, LOOKS, STYLES

LOOK = LOOKS["report"]


def drawn(name: str = "retrieved", caption: str = "What it shows. And more.") -> Drawn:
    with mpl.rc_context(LOOK.settings()):
        figure = Figure(figsize=(LOOK.column, 2))
        axes = figure.add_subplot()
        axes.plot([1, 2], [3, 4], color=STYLES["retrieved"].colour, marker="o", label=name)
        axes.axhspan(3, 3.5, color=HARM)
        axes.text(1, 3, name)
    return Drawn(figure, caption, LOOK)


class Page(HTMLParser):
    """What a browser makes of it: elements with their attributes, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_figure_is_one_image_with_a_name() -> None:
    page = Page(inline_svg(drawn(caption='A "b" & <c>. More.')))
    tag, attributes = page.elements[0]
    assert (tag, attributes["role"], attributes["aria-label"]) == ("svg", "img", 'A "b" & <c>')
    assert "max-width:355px" in str(attributes["style"])
    assert "metadata" not in [tag for tag, _ in page.elements]


def test_colours_are_a_pages_to_choose() -> None:
    svg = inline_svg(drawn())
    for colour in (INK, HARM, STYLES["retrieved"].colour):
        variable = f"var(--{VARIABLES[colour]}, {colour.lower()})"
        assert variable in svg
        assert colour.lower() not in svg.replace(variable, "")


def test_it_has_no_background_and_no_font_of_its_own() -> None:
    svg = inline_svg(drawn())
    assert "font-family" not in svg
    filled = [str(each.get("style")) for tag, each in Page(svg).elements if tag == "path"]
    assert filled[:2] == ["fill:none", "fill:none"]  # The figure's ground, and the panel's.
    assert not any("fill:var(--ground" in style for style in filled)


def test_ids_and_rules_of_two_figures_are_apart() -> None:
    one, two = inline_svg(drawn("one")), inline_svg(drawn("two"))
    ids = [re.findall(r'\bid="([^"]+)"', svg) for svg in (one, two)]
    assert not set(ids[0]) & set(ids[1])
    for svg, own in zip((one, two), ids, strict=True):
        assert len(set(own)) == len(own)
        used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)
        assert used
        assert {a or b for a, b in used} <= set(own)
        assert re.findall(r"<style[^>]*>#(\S+) \*", svg) == own[:1]


def test_the_same_figure_is_the_same_twice() -> None:
    assert inline_svg(drawn()) == inline_svg(drawn())


def test_text_stays_text_whatever_it_says() -> None:
    hostile = '</text><script>alert(1)</script> id="x" url(#y) #222222 &amp; $a_1$'
    page = Page(inline_svg(drawn(hostile)))
    assert "script" not in [tag for tag, _ in page.elements]
    assert hostile in page.words


def test_stripes_are_found_by_what_they_fill() -> None:
    with mpl.rc_context(LOOK.settings()):
        figure = Figure(figsize=(LOOK.column, 2))
        figure.add_subplot().bar([1], [2], color=STYLES["synthetic"].colour, hatch="////")
    svg = inline_svg(Drawn(figure, "Stripes.", LOOK))
    (pattern,) = (attrs for tag, attrs in Page(svg).elements if tag == "pattern")
    assert f"fill:url(#{pattern['id']})" in svg
    ids = {attrs["id"] for _, attrs in Page(svg).elements if "id" in attrs}
    assert set(re.findall(r"url\(#([^)]*)\)", svg)) <= ids
    # A page chooses a stripe's colours too.
    assert STYLES["synthetic"].colour.lower() not in re.sub(r"var\([^)]*\)", "", svg.lower())
