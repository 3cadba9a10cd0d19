"""A browser, and a report of much of what there may be in one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from bench.core.paths import Home
from results.report.page import write_report
from tests.results.report.test_image_sets import audited
from tests.support.browser import chromium
from tests.support.many_records import write_many
from tests.support.records import write_run


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a task with curves and one with images, failed runs and a broken record."""
    home = Home(tmp_path_factory.mktemp("home"))
    images = audited(home)
    write_many(home, tasks=1, runs=127, images=200)
    for source in ("none", "retrieved", "synthetic"):
        content = images.manifest.content if source == "retrieved" else f"set of {source}"
        write_run(home, source, 100 if source != "none" else None, image_set=content)
    write_run(home, "synthetic", 400, status="failed", error="the disk is full", scores=[])
    broken = home.run("broken")
    broken.mkdir()
    (broken / "record.json").write_text("{")
    return write_report(home, tmp_path_factory.mktemp("out")).html
