"""Progress in a log file: few lines, each of them whole."""

import io

import pytest

from bench.core import progress as progress_module
from bench.core.progress import Progress


@pytest.fixture(autouse=True)
def _every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "_SECONDS_BETWEEN_LOG_LINES", 0.0)


def count_off(progress: Progress, label: str, total: int | None, count: int) -> None:
    with progress.bar(label, total, "shard") as bar:
        for _ in range(count):
            bar.advance()


def test_short_work_and_a_quiet_one_leave_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    count_off(Progress(stream, quiet=True), "scan", 2, 2)
    monkeypatch.undo()
    count_off(Progress(stream), "scan", 3, 3)
    assert stream.getvalue() == ""


def test_long_work_is_reported_line_by_line() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.prefixed("cars"):
        count_off(progress, "download", 2, 2)
        count_off(progress, "match", None, 1)
    assert "\r" not in stream.getvalue()
    lines = [line.partition(" ")[2] for line in stream.getvalue().splitlines()]
    first, second, end, uncounted, _ = lines
    assert first.startswith("cars · download: 1 of 2 shards, about 0 s left (")
    assert second.startswith("cars · download: 2 of 2 shards (")
    assert end.startswith("cars · download: ended after 0")
    assert uncounted.startswith("cars · match: 1 shard (")
