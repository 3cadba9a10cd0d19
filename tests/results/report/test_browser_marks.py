"""The page in a browser: published values, names of any kind, telephones and paper."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from bench.core.paths import Home
from results.report.page import write_report
from tests.support.browser import Opened, opened
from tests.support.records import score, write_run

LONG = "x" * 60
EVALUATORS = ("linear-probe", "zero-shot", f"evaluator-{LONG}")

MODEL = "CLIP-ViT-B-16-laion2B-s34B-b88K"
"""The one that the published values are of."""

CHART = 'figure.chart[data-section="e2"][data-evaluator="{}"]'

HOLLOW = """(svg) => [...svg.querySelectorAll(".published :is(path, circle)")]
    .filter((mark) => getComputedStyle(mark).fill === "none")
    .map((mark) => mark.getBoundingClientRect())
    .map(({ left, right, top, bottom }) => [left, right, top, bottom])"""


@pytest.fixture(scope="module")
def of_paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a task with published values, whose arms and evaluators have long names."""
    home = Home(tmp_path_factory.mktemp("home"))
    scores = [score(split, 0.5, name) for split in ("val", "test") for name in EVALUATORS]
    paper: dict[str, Any] = {"preset": "paper", "task": "aircraft", "model": MODEL}
    for source in ("retrieved", "synthetic", LONG):
        for n in (50_000, 60_000, 70_000, 900_000):
            write_run(home, source, n, scores=scores, **paper)
    write_run(home, "none", None, scores=scores, **paper)
    write_run(home, "retrieved", 100, right=90, trained=60)
    write_run(home, "none", None, right=90)
    return write_report(home, tmp_path_factory.mktemp("out")).html


@pytest.fixture
def page(browser: Browser, of_paper: Path) -> Iterator[Opened]:
    with opened(browser, of_paper) as shown:
        yield shown


def test_published_values_are_hollow_marks_within_the_chart(page: Opened) -> None:
    chart = page.page.locator(CHART.format("linear-probe")).locator("svg")
    chart.scroll_into_view_if_needed()
    hollow = chart.evaluate(HOLLOW)
    assert len(hollow) == 6
    box = chart.bounding_box()
    assert box is not None
    for left, right, top, bottom in hollow:
        assert box["x"] < left < right < box["x"] + box["width"]
        assert box["y"] < top < bottom < box["y"] + box["height"]
    left, _, top, bottom = min(hollow)
    page.page.mouse.move(left + 6, (top + bottom) / 2)
    assert "published" in (chart.text_content() or "")


def test_a_chart_names_its_evaluator_its_metric_and_its_scale(page: Opened) -> None:
    for evaluator in EVALUATORS:
        chart = page.page.locator(CHART.format(evaluator))
        assert chart.locator(".title").inner_text() == evaluator
        told = chart.locator("svg").text_content() or ""
        assert "test accuracy, %" in told
        assert "images used (log scale)" in told
        assert f"accuracy by {evaluator} over" in (
            chart.locator("svg").get_attribute("aria-label") or ""
        )


def test_sizes_that_begin_with_five_to_nine_are_labelled(page: Opened) -> None:
    assert "900k" in (page.page.locator(CHART.format("zero-shot")).text_content() or "")


@pytest.mark.parametrize("width", [320, 1280])
def test_long_names_make_no_page_wider_and_cover_no_neighbour(
    browser: Browser, of_paper: Path, width: int
) -> None:
    with opened(browser, of_paper, width) as page:
        assert page("document.documentElement.scrollWidth") == width
        wide = """() => [...document.querySelectorAll("table.scores :is(th, td)")]
            .filter((cell) => cell.scrollWidth > cell.clientWidth + 1)
            .map((cell) => cell.innerText)"""
        assert page(wide) == []
        lines = "(cell) => new Set([...cell.getClientRects()].map((box) => box.top)).size"
        assert page.page.locator("td[data-runs] button").first.evaluate(lines) == 1
        scrolled = page.page.get_by_role("region", name="Scores of aircraft")
        name = scrolled.locator("tbody td").first
        before = name.bounding_box()
        scrolled.evaluate("(box) => { box.scrollLeft = 300; }")
        assert (scrolled.evaluate("(box) => box.scrollLeft") > 0) == (width < 400)
        assert name.bounding_box() == before


def test_every_number_of_the_scores_opens_its_runs(page: Opened) -> None:
    name = "Scores of mini-aircraft (preset mini, mini-clip, ce)"
    region = page.page.locator(f'[aria-label="{name}"]')
    assert (
        "Press a number" in page.page.locator(f'.press:has(+ [aria-label="{name}"])').inner_text()
    )
    numbers = region.locator("tr", has_text="retrieved").locator("button")
    assert numbers.all_inner_texts() == ["45.0 [38.0, 52.0]", "30.0", "30.0"]
    numbers.last.click()
    told = page.page.get_by_role("dialog").inner_text()
    assert "best trained\n30 %" in told
    assert "the unadapted model was kept" in told


def test_differences_sort_by_their_numbers(page: Opened) -> None:
    page("for (const part of document.querySelectorAll('details')) part.open = true")
    table = page.page.get_by_role("region", name="Differences of aircraft (")
    heading = table.locator("th", has_text="n used")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    page.page.wait_for_timeout(50)
    sizes = list(dict.fromkeys(table.locator("tbody td:nth-child(2)").all_inner_texts()))
    assert sizes == ["50k", "60k", "70k", "900k"]
    cells = table.locator("tbody td").all()
    sort = {cell.inner_text(): cell.get_attribute("data-sort") for cell in cells}
    values = {text: value for text, value in sort.items() if " to " in text and value}
    assert values
    assert all(float(text.partition(" to ")[0]) == float(value) for text, value in values.items())
    assert sort.get("< 0.001", "0.001") == "0.001"


def test_a_telephone_sorts_the_summary_and_keeps_close_in_sight(
    browser: Browser, of_paper: Path
) -> None:
    with opened(browser, of_paper, 320) as page:
        summary = page.page.get_by_role("region", name="Table of the summary")
        rows = summary.locator("tbody tr")
        assert len([one for one in rows.first.locator("td").all() if one.is_visible()]) <= 8
        points = summary.get_by_role("button", name="points")
        points.click()
        page.page.wait_for_timeout(50)
        values = [
            float(text.replace("\u2212", "-"))
            for text in summary.locator("tbody [data-label=points]").all_inner_texts()
        ]
        assert values == sorted(values)
        page.page.locator("td[data-runs] button").last.click()
        dialog = page.page.get_by_role("dialog")
        dialog.evaluate("(box) => box.scrollTo(0, box.scrollHeight)")
        close = dialog.get_by_role("button", name="Close")
        box = close.bounding_box()
        assert box is not None
        assert 0 < box["y"] < 450


def test_printing_closes_the_runs(page: Opened) -> None:
    page.page.locator("td[data-runs] button").first.click()
    assert page.page.get_by_role("dialog").count() == 1
    page("dispatchEvent(new Event('beforeprint'))")
    assert page.page.get_by_role("dialog").count() == 0
    page("dispatchEvent(new Event('afterprint'))")


def test_each_section_leads_back_to_the_top(page: Opened) -> None:
    links = page.page.get_by_role("link", name="Back to the top")
    assert links.count() == 2
    links.first.click()
    page.page.wait_for_timeout(50)
    assert page("scrollY") == 0


def test_a_name_that_turns_its_text_around_turns_nothing_else(
    browser: Browser, home: Home, tmp_path: Path
) -> None:
    name = "\u202eabc"
    for n in (100, 400):
        write_run(home, name, n)
    with opened(browser, write_report(home, tmp_path).html) as page:
        page.page.locator("td[data-runs] button").first.click()
        isolated = page.page.get_by_role("dialog").locator("h2 bdi").first
        assert isolated.text_content() == name
        # What follows the name begins after it.
        after = """(name) => {
            const rest = document.createRange();
            rest.selectNodeContents(name.nextSibling);
            return rest.getBoundingClientRect().left - name.getBoundingClientRect().right;
        }"""
        assert isolated.evaluate(after) > -1
        direction = "(part) => getComputedStyle(part).unicodeBidi"
        assert page.page.locator("fieldset label bdi").first.evaluate(direction) == "isolate"
        assert page.page.locator("td").first.evaluate(direction) == "isolate"


def test_a_filter_names_its_table(page: Opened) -> None:
    name = "Rows with these words: Scores of aircraft"
    assert page.page.get_by_role("searchbox", name=name).count() == 1
