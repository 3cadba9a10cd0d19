"""The page in Debian's Chromium: what a reader sees, presses and prints."""

import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from bench.core.paths import Home
from results.report.page import write_report
from tests.support.browser import Opened, opened
from tests.support.records import write_run

WIDTHS = (320, 390, 768, 1280)

OPEN_ALL = "for (const part of document.querySelectorAll('details')) part.open = true"

SMALLEST_TEXT = """() => Math.min(...[...document.querySelectorAll("svg text")].map(
    (text) => [parseFloat(getComputedStyle(text).fontSize), text.getScreenCTM()])
    .map(([size, turned]) => size * Math.hypot(turned.a, turned.b)))"""

FIRST_COLUMNS = """(name) => {
    const table = document.querySelector(`[aria-label="${name}"] table`);
    return [...table.tBodies[0].rows].filter((row) => !row.hidden)
        .map((row) => [...row.cells].map((cell) => cell.innerText.trim()));
}"""

TASK = "task-0 (preset mini, clip, ce)"


# Pairs of texts of a plot that overlap, and texts that stick out of their figure.
UNTIDY = """() => [...document.querySelectorAll("figure.chart")].flatMap((figure) => {
    const around = figure.getBoundingClientRect();
    const texts = [...figure.querySelectorAll("svg text")].filter((text) => text.textContent.trim())
        .map((text) => [text.textContent, text.getBoundingClientRect()]);
    const out = texts.filter(([, box]) => box.left < around.left - 1 || box.right > around.right + 1
        || box.top < around.top || box.bottom > around.bottom);
    const pairs = texts.flatMap(([name, a], place) => texts.slice(place + 1)
        .filter(([, b]) => a.left < b.right && b.left < a.right)
        .filter(([, b]) => a.top < b.bottom && b.top < a.bottom)
        .map(([other]) => `${name} on ${other}`));
    return [...out.map(([name]) => name), ...pairs];
})"""


def table(page: Opened, name: str) -> list[list[str]]:
    """Return the rows of a table that are shown."""
    rows: list[list[str]] = page(FIRST_COLUMNS, name)
    return rows


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_asked_for_nothing_complains_and_nothing_is_wider_than_the_window(
    browser: Browser, report: Path, width: int
) -> None:
    for scripts in (True, False):
        with opened(browser, report, width, scripts=scripts) as page:
            assert page.complaints == page.requests == []
            for _ in range(2):
                assert page("document.documentElement.scrollWidth") == width
                assert page("document.body.scrollWidth") <= width
                page(OPEN_ALL)


@pytest.mark.slow(minutes=0.5)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, report: Path, scheme: Any) -> None:
    axe = Axe()
    for width in (390, 1280):
        with opened(browser, report, width, scheme) as page:
            page(OPEN_ALL)
            assert axe.run(page.page).violations_count == 0
            page.page.locator("td[data-runs] button").first.click()
            assert axe.run(page.page).violations_count == 0


def test_the_text_of_plots_can_be_read_on_a_telephone(browser: Browser, report: Path) -> None:
    for scripts in (True, False):
        with opened(browser, report, 390, scripts=scripts) as page:
            page(OPEN_ALL)
            assert page("document.querySelectorAll('svg text').length") > 30
            assert page(SMALLEST_TEXT) >= 9


def test_a_heading_sorts_by_numbers_not_by_their_text(browser: Browser, report: Path) -> None:
    name = f"Scores of {TASK}"
    with opened(browser, report) as page:
        heading = page.page.locator(f'[aria-label="{name}"] th', has_text="n used")
        heading.get_by_role("button").focus()
        page.page.keyboard.press("Enter")
        # Everywhere from the least to the greatest first.
        assert heading.get_attribute("aria-sort") == "ascending"
        page.page.wait_for_timeout(50)
        sizes = [row[1] for row in table(page, name)]
        assert list(dict.fromkeys(sizes)) == [
            "0", "100", "320", "1k", "3.2k", "10k", "32k", "100k",
        ]  # fmt: skip
        page.page.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == "descending"
        # Rows are sorted a moment after the press.
        page.page.wait_for_timeout(50)
        assert [row[1] for row in table(page, name)] == sizes[::-1]


def test_a_filter_leaves_the_rows_that_hold_all_its_words(browser: Browser, report: Path) -> None:
    name = f"Scores of {TASK}"
    with opened(browser, report) as page:
        box = page.page.locator(f'.filter:has(+ [aria-label="{name}"]) input')
        box.fill("SYNTH 32k")
        assert [row[:2] for row in table(page, name)] == [["synthetic", "32k"]]
        assert "1 of 22" in box.locator("xpath=..").inner_text()
        page.page.locator(f'[aria-label="{name}"] th button').first.click()
        assert len(table(page, name)) == 1
        box.fill("")
        assert len(table(page, name)) == 22


def test_a_number_opens_its_runs_by_keyboard(browser: Browser, report: Path) -> None:
    with opened(browser, report) as page:
        number = page.page.locator(
            f'[aria-label="Scores of {TASK}"] tr:has-text("retrieved"):has-text("32k") button'
        ).first
        number.focus()
        page.page.keyboard.press("Enter")
        dialog = page.page.get_by_role("dialog")
        told = dialog.inner_text()
        assert "retrieved, n = 32k, linear-probe" in told
        assert told.count("bench run --preset mini --source retrieved --task task-0") in (0, 3)
        took = "adapt 20.2 s (with train 14.7 s and validate 4.8 s)"
        for known in ("seed\n2", "validation\n", "7 of 10", took, "set-task-0-retrieved"):
            assert known in told
        unlike = dialog.locator("details").first
        unlike.locator("summary").click()
        assert "source.pool=miniworld" in unlike.inner_text()
        assert "train.epochs" not in unlike.inner_text()
        assert dialog.locator("svg").count() == 3
        page.page.keyboard.press("Escape")
        assert page.page.get_by_role("dialog").count() == 0
        assert page("document.activeElement.textContent") == number.inner_text()
        assert page.complaints == []


def test_a_run_leads_to_samples_of_its_images(browser: Browser, report: Path) -> None:
    name = "Scores of mini-aircraft (preset mini, mini-clip, ce)"
    with opened(browser, report) as page:
        samples = page.page.locator("details", has_text="Random images").first
        page("document.querySelectorAll('details').forEach((part) => { part.open = false; })")
        row = page.page.locator(f'[aria-label="{name}"] tr', has_text="retrieved")
        row.get_by_role("button").first.click()
        page.page.get_by_role("link", name="Samples of its images").click()
        assert page.page.get_by_role("dialog").count() == 0
        assert samples.locator("img").first.is_visible()
        assert page.requests == page.complaints == []


def test_arms_come_and_go_and_the_pointer_tells_their_scores(
    browser: Browser, report: Path
) -> None:
    with opened(browser, report) as page:
        chart = page.page.locator("figure.chart", has_text=TASK).first
        lines = chart.locator("g[stroke] > path, path[stroke]")
        before = lines.count()
        box = chart.get_by_label("synthetic")
        box.focus()
        page.page.keyboard.press("Space")
        assert not box.is_checked()
        assert lines.count() < before
        page.page.keyboard.press("Space")
        assert lines.count() == before
        plot = chart.locator("svg").bounding_box()
        assert plot is not None
        page.page.mouse.move(plot["x"] + 0.9 * plot["width"], plot["y"] + 0.2 * plot["height"])
        told = chart.locator("svg").text_content()
        assert told is not None
        assert "n = 100k" in told


@pytest.mark.parametrize("sizes", [(100,), (7_800, 15_600, 31_250, 62_500, 125_000, 2_500_000)])
def test_the_text_of_a_plot_neither_overlaps_nor_sticks_out(
    browser: Browser, home: Home, tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    write_run(home, "none", None, right=60)
    for place, source in enumerate(("retrieved", "synthetic", "real", "mixed", "x" * 60, "航空機")):
        for n in sizes:
            kept = min(n, 150_000) if source == "retrieved" else n
            write_run(home, source, n, right=40 + 20 * place, used=kept, kept=kept)
    page_file = write_report(home, tmp_path).html
    for width in WIDTHS:
        with opened(browser, page_file, width) as page:
            assert page("document.querySelectorAll('figure.chart fieldset').length") == 1
            assert page(UNTIDY) == []
            assert page("document.documentElement.scrollWidth") == width
            # A grey ground and a reddish one, where there are sizes beyond the pool's end.
            told = page.page.locator("figure.chart svg").text_content() or ""
            assert "worse than unadapted" in told
            assert ("pool ends at 150k" in told) == (sizes[-1] > 150_000)


def test_without_scripts_everything_is_there(browser: Browser, report: Path) -> None:
    with opened(browser, report, scripts=False) as page:
        assert page.page.locator("figure.chart svg").count() == 3
        assert len(table(page, f"Scores of {TASK}")) == 22
        assert page.page.locator("button").count() == 0


@pytest.mark.slow(minutes=0.3)
def test_print_opens_everything_and_splits_no_row(browser: Browser, report: Path) -> None:
    if (reader := shutil.which("pdftotext")) is None:
        pytest.skip("pdftotext is not installed: apt-get install poppler-utils")
    for scripts, scheme in product((True, False), ("light", "dark")):
        with opened(browser, report, scheme=scheme, scripts=scripts) as page:  # type: ignore[arg-type]
            # Text in pictures is not that of the page.
            wanted = page("""() => [...document.querySelectorAll("details td, details p")]
                .map((part) => part.textContent.match(/\\S+/g) || []).flat()""")
            printed = page.page.pdf(format="A4")
            page.page.emulate_media(media="print")
            styles = """() => [...new Set([...document.querySelectorAll("tr, figure")].map(
                (part) => getComputedStyle(part).breakInside))]"""
            assert page(styles) == ["avoid"]
            assert page("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        text = subprocess.run([reader, "-", "-"], input=printed, capture_output=True, check=True)
        # A long word may be broken into lines.
        lacking = {word for word in wanted if len(word) < 8} - set(text.stdout.decode().split())
        assert not lacking
