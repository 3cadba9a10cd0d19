"""The page: well formed, whatever names and errors say."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from bench.core.paths import Home
from results.report.assets import assets
from results.report.page import write_report
from tests.support.pages import content_of
from tests.support.records import write_curves, write_run


class Tags(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen |= {tag, *(name for name, _ in attrs)}
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_report_escapes_hostile_text(home: Home, tmp_path: Path) -> None:
    hostile = "</td><script>alert(1)</script><img src=x onerror=alert(2)> $\\frac{"
    write_run(home, "retrieved", 100, options={"path": hostile}, task=hostile, device=hostile)
    write_run(home, hostile, 200, task=hostile, fidelity={hostile: hostile}, image_set=hostile)
    write_run(home, "synthetic", 100, task=hostile, status="failed", error=hostile, scores=[])
    report = write_report(home, tmp_path / "out")
    page = report.html.read_text()
    assert "&lt;script&gt;" in page
    assert not {"script", "onerror"} & Tags(content_of(page)).seen
    ours = len(assets().scripts) + 1
    assert page.count("<script") == page.count("</script>") == ours
    plots = [path for pair in report.plots.values() for path in pair]
    assert {path.parent for path in [*plots, *report.tables]} == {tmp_path / "out"}


def test_report_shows_published_numbers_beside_paper_runs_only(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 100, task="aircraft")
    assert "83.5" not in content_of(write_report(home, tmp_path / "mini").html.read_text())
    model = "CLIP-ViT-B-16-laion2B-s34B-b88K"
    write_run(home, "retrieved", 100, preset="paper", task="aircraft", model=model)
    assert "83.5" in content_of(write_report(home, tmp_path / "paper").html.read_text())


def test_the_report_names_classes_without_an_image_to_train_on(home: Home, tmp_path: Path) -> None:
    few = [f"class {index}" for index in range(7)]
    write_run(home, "retrieved", 100, empty_classes=few[:2])
    write_run(home, "retrieved", 100, seed=1, empty_classes=few)
    write_run(home, "retrieved", 400)
    write_run(home, "synthetic", 100, empty_classes=["<b>"])
    page = write_report(home, tmp_path).html.read_text()
    retrieved = "retrieved, n = 100: 7 (class 0, class 1, class 2, class 3, class 4, …)"
    synthetic = "synthetic, n = 100: 1 (&lt;b&gt;)"
    assert f"Classes without an image to train on: {retrieved}; {synthetic}.</p>" in page


def test_the_report_says_what_an_objective_left_out(home: Home, tmp_path: Path) -> None:
    for seed, images in enumerate((20, 60, 40)):
        left_out = {"too_small_groups": {"images": images, "groups": images // 2}}
        write_run(home, "retrieved", 100, seed=seed, used=100 - images, stage_counts=left_out)
    write_run(home, "synthetic", 100)
    page = write_report(home, tmp_path).html.read_text()
    assert "too small for the objective: 60 of 100 <bdi>retrieved</bdi> images.</p>" in page
    assert "<bdi>synthetic</bdi>" not in page.partition("too small for the objective")[2][:80]


def test_the_page_closes_what_it_opens(home: Home, tmp_path: Path) -> None:
    write_run(home, "none", None, right=60)
    write_curves(home, retrieved={100: 80, 400: 160}, synthetic={100: 70, 1_600: 120})
    page = write_report(home, tmp_path).html.read_text()
    assert Tags(page).open == []
    findings = re.search(r'<p class="finding">.*?</p>\n<ul>\n((?:<li>.*</li>\n)+)</ul>', page)
    assert findings is not None
    assert findings[1].count("<li>") == 3


def test_report_of_nothing_but_failures(home: Home, tmp_path: Path) -> None:
    failed: dict[str, Any] = {"status": "failed", "error": "the disk is full", "scores": []}
    write_run(home, "retrieved", 100, objective="simclr", **failed)
    report = write_report(home, tmp_path / "out")
    line = "mini-aircraft, simclr, retrieved, n = 100, seed 0: the disk is full</li>"
    assert line in report.html.read_text()
    assert report.plots == {}


def test_names_in_any_script_and_of_any_length_are_shown_as_they_are(
    home: Home, tmp_path: Path
) -> None:
    names = ["\u822a" * 80, "\u822a" * 79 + "\u6a5f", "a <b> & $x$"]
    for name in names:
        write_run(home, "retrieved", 100, task=name)
    report = write_report(home, tmp_path / "out")
    page = report.html.read_text()
    assert all(html.escape(name) in page for name in names)
    assert len({path for paths in report.plots.values() for path in paths}) == 3 * len(names)


def test_arms_of_one_setting_have_no_table_of_settings(home: Home, tmp_path: Path) -> None:
    for source in ("retrieved", "synthetic"):
        write_run(home, source, 100)
    one = content_of(write_report(home, tmp_path / "one").html.read_text())
    assert "compared on validation data" not in one
    assert not re.search(r"\bnan\b", one)
    write_run(home, "retrieved", 100, lr=1e-3)
    several = content_of(write_report(home, tmp_path / "several").html.read_text())
    assert "2 settings, compared on validation data" in several
    assert not re.search(r"\bnan\b", several)
