"""The page in a browser with names that attack it, and with more runs than it holds."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import Browser

from bench.core.paths import Home
from results.report.page import write_report
from tests.support.browser import opened
from tests.support.many_records import write_many
from tests.support.records import score, write_run

PAYLOADS = [
    "<script>hit()</script>",
    "</script><script>hit()</script>",
    "<img src=x onerror=hit()>",
    "<svg onload=hit()>",
    "'\"><iframe srcdoc='<script>parent.hit()</script>'></iframe>",
    '" autofocus onfocus=hit() x="',
    "javascript:hit()",
    "</style><style>@import 'https://example.org/a'</style>",
    "<!--<script>",
    "]]><script>hit()</script>",
    "{{ 7 * 7 }}{% raw %}",
    "${hit()}`+hit()+`",
    "\u202e\u2028\u2029&lt;&#60;script&#62;",
    "<details open ontoggle=hit()>",
    "</title><meta http-equiv=refresh content='0;url=https://example.org'>",
    "<a href=javascript:hit()>x</a><base href=https://example.org>",
    "<link rel=stylesheet href=https://example.org/a.css>",
    "$\\frac{\\input{x}}$ %s %(x)s",
    "__proto__",
    "constructor",
]
HOSTILE = [f"{text} {place}" for place, text in product(range(10), PAYLOADS)]


@pytest.mark.slow(minutes=0.5)
def test_hostile_names_are_text(browser: Browser, home: Home, tmp_path: Path) -> None:
    for place, name in enumerate(HOSTILE):
        failed: dict[str, Any] = {"status": "failed", "error": name, "device": name, "scores": []}
        write_run(home, name, place, options={"path": name}, task=HOSTILE[place % 5], **failed)
    for place, name in enumerate(HOSTILE[: len(PAYLOADS)]):
        # The arms of three tasks, by evaluators of two hostile names.
        scores = [score(split, 0.5, HOSTILE[place % 2]) for split in ("val", "test")]
        for n in (100, 400):
            write_run(
                home, name, n, task=HOSTILE[place % 3], scores=scores, device=name,
                image_set=name, options={"path": name}, versions={name: name},
                timings={name: 1.0}, empty_classes=[name], selection={"by": name, "epoch": 1},
            )  # fmt: skip
    page_file = write_report(home, tmp_path / "out").html
    with opened(browser, page_file) as page:
        for number in page.page.locator("td[data-runs] button").all()[:10]:
            number.click()
            page.page.keyboard.press("Escape")
        for box in page.page.locator("fieldset input").all()[:10]:
            box.click()
        page("for (const part of document.querySelectorAll('details')) part.open = true")
        page.page.wait_for_timeout(200)
        # Nobody defines hit(): a script that runs complains.
        assert page.requests == page.complaints == []
        assert page.page.url == page_file.as_uri()
        ours = page("[document.scripts.length, document.styleSheets.length]")
        own = page("""() => [...document.querySelectorAll("*")].flatMap((element) =>
            element.getAttributeNames().filter((name) => name.startsWith("on")))""")
        assert page("document.querySelectorAll('iframe, base, link, object').length") == 0
        assert own == []
        text = page("document.body.textContent")
        lacking = [name for name in HOSTILE if re.sub(r"\s+", " ", name) not in _one_line(text)]
    assert not lacking
    with opened(browser, _plain(tmp_path)) as page:
        assert page("[document.scripts.length, document.styleSheets.length - 1]")[0] == ours[0]


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _plain(tmp_path: Path) -> Path:
    home = Home(tmp_path / "plain")
    write_run(home, "retrieved", 100)
    return write_report(home, tmp_path / "of plain").html


@pytest.mark.slow(minutes=0.4)
def test_runs_that_are_too_many_for_the_page_are_in_a_file_beside_it(
    browser: Browser, home: Home, tmp_path: Path
) -> None:
    write_many(home, tasks=5, runs=64)
    page_file = write_report(home, tmp_path).html
    runs = pl.read_parquet(tmp_path / "runs.parquet")
    # Two evaluators; every seed of every arm at every n, and the unadapted model.
    assert len(runs) == 5 * 2 * 64
    assert set(runs["task"]) == {f"task-{index}" for index in range(5)}
    with opened(browser, page_file) as page:
        assert page.page.get_by_role("link", name="runs.parquet").count() == 5
        page.page.locator("td[data-runs] button").last.click()
        told = page.page.get_by_role("dialog").inner_text()
        ids = re.findall(r"\b[0-9a-f]{8,}\b", told)
        assert len(ids) == 3
        assert set(ids) <= set(runs["run_id"])
        assert "runs.parquet" in told


def test_no_tag_begins_in_the_data_of_scripts(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 100, task="<!--<script> & <b>")
    page = write_report(home, tmp_path).html.read_text()
    data = re.search(r'<script type="application/json" id="data">([^<>&]*)</script>', page)
    assert data is not None
    assert json.loads(data[1])["sections"]["e1"]["title"].startswith("<!--<script> & <b> (")
