"""Progress in a log file: few lines, each of them whole."""

import io

import pytest

from bench.core import progress as progress_module
from bench.core.progress import Progress


def test_short_work_leaves_no_line_in_a_log_file() -> None:
    stream = io.StringIO()
    assert list(Progress(stream).track("abc", "scan", 3, "shard")) == ["a", "b", "c"]
    assert stream.getvalue() == ""


def test_long_work_is_told_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "_SECONDS_BETWEEN_LOG_LINES", 0.0)
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.prefixed("cars"):
        for _ in progress.track(range(2), "download", 2, "shard"):
            pass
        for _ in progress.track(range(1), "match", None, "caption"):
            pass
    assert "\r" not in stream.getvalue()
    said = [line.partition(" ")[2] for line in stream.getvalue().splitlines()]
    one, two, end, uncounted, _ = said
    assert one.startswith("cars · download: 1 of 2 shards, about 0 s left (")
    assert two.startswith("cars · download: 2 of 2 shards (")
    assert end.startswith("cars · download: ended after 0")
    assert uncounted.startswith("cars · match: 1 caption (")


def test_nothing_is_written_when_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "_SECONDS_BETWEEN_LOG_LINES", 0.0)
    stream = io.StringIO()
    assert list(Progress(stream, quiet=True).track("ab", "scan", 2, "shard")) == ["a", "b"]
    assert stream.getvalue() == ""
