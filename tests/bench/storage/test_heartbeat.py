"""Heartbeats: what a run reports while it runs, after a kill, and after its end."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.core.paths import Home
from bench.core.progress import Progress, Work
from bench.storage import heartbeat as heartbeat_module
from bench.storage.heartbeat import Heartbeat, heartbeat, read_heartbeat
from tests.conftest import Bench, environment

# The command line with a heartbeat and a checkpoint at every step: a user's steps take seconds.
PROGRAM = """
import sys
from adapt import save_policy, training
from bench import cli
from bench.storage import heartbeat
heartbeat.INTERVAL_SECONDS = save_policy.SAVE_SECONDS = 0
training.CHECK_STEPS, save_policy.SAVE_SHARE = 2, float("inf")
cli.main(sys.argv[1:])
"""


def request(preset: Path, colours: Path, *more: str) -> list[str]:
    words = ["run", "--preset", str(preset), "--source", "folder", "--task", str(colours)]
    settings = [f"source.path={colours / 'train'}", "train.epochs=4", "train.batch_size=2", *more]
    return [*words, "--n", "23", "--json", *(word for s in settings for word in ("--set", s))]


@contextmanager
def started(home: Home, words: list[str], **more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        env=environment(home.root, **more),
        cwd=home.root.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def beats(home: Home, process: subprocess.Popen[str]) -> Iterator[Heartbeat]:
    """Yield every heartbeat seen until the process ends."""
    deadline, last = time.monotonic() + 240, None
    while process.poll() is None:
        assert time.monotonic() < deadline
        for path in home.runs.glob("*/spec.json"):
            beat = read_heartbeat(home, path.parent.name)
            if beat is not None and beat != last:
                last = beat
                yield beat
        time.sleep(0.005)


@pytest.mark.slow
def test_run_shows_its_heartbeat_through_a_kill_to_its_end(
    bench: Bench, home: Home, preset: Path, colours: Path, tmp_path: Path
) -> None:
    words = request(preset, colours)
    with started(
        home, words, SLURM_JOB_ID="9", SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="3"
    ) as process:
        seen = []
        for beat in beats(home, process):
            seen.append(beat)
            if (beat.epoch or 0) == 2 and beat.done % 23:
                break
        process.kill()
        process.wait()
    (folder,) = home.runs.iterdir()
    left = read_heartbeat(home, folder.name)
    assert left is not None
    assert (left.label, left.total, left.unit, left.epochs) == ("fine-tune", 92, "image", 4)
    assert (left.job, left.pid) == ("7_3", process.pid)
    assert left.started <= left.at <= time.time()
    assert left.epoch == left.done // 23 + 1
    assert left.rate is not None
    assert left.eta_seconds == pytest.approx((92 - left.done) / left.rate)
    trained = [beat.done for beat in seen if beat.label == "fine-tune"]
    assert trained == sorted(trained)
    # Images are collected before, of which some step lasts long enough to be seen.
    assert seen[0].label not in {"load", "adapt", "fine-tune"}

    # With another number of workers it is still the same run, and continues.
    words_with_worker = request(preset, colours, "train.workers=1")
    with started(home, words_with_worker) as process:
        first = next(beat for beat in beats(home, process) if beat.label == "fine-tune")
        assert first.done >= left.done - 4
        out, error = process.communicate(timeout=240)
        assert process.returncode == 0, error
    assert [path.name for path in home.runs.iterdir()] == [folder.name]
    assert not list(folder.glob("*heartbeat*"))
    record = json.loads(out)
    assert record["spec"]["train"]["workers"] == 1
    assert record["processes"] == 1
    undisturbed = undisturbed_record(bench, tmp_path / "other", words)
    assert outcome(record) == outcome(undisturbed)


def undisturbed_record(bench: Bench, home: Path, words: list[str]) -> dict[str, Any]:
    os.environ["BENCH_HOME"] = str(home)  # The fixture `home` puts it back.
    return bench(*words).json


def outcome(record: dict[str, Any]) -> dict[str, Any]:
    history = [
        {name: epoch[name] for name in ("epoch", "loss", "lr", "score")}
        for epoch in record["selection"]["history"]
    ]
    return {name: record[name] for name in ("run_id", "scores", "image_set")} | {"history": history}


def test_failed_run_leaves_no_heartbeat(
    bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    assert bench(*request(preset, colours), "--n", "2000").code == 2
    (folder,) = home.runs.iterdir()
    assert (folder / "record.json").exists()
    assert not list(folder.glob("*heartbeat*"))


Watched = tuple[Progress, Callable[[], Heartbeat | None]]


@pytest.fixture
def watched(home: Home) -> Iterator[Watched]:
    """Progress that is observed for the run x, and what it left to read."""
    home.run("x").mkdir(parents=True)
    progress = Progress(quiet=True)
    with heartbeat(home, "x", progress):
        yield progress, lambda: read_heartbeat(home, "x")


def test_heartbeats_are_seconds_apart_but_for_another_label(watched: Watched) -> None:
    progress, read = watched
    with progress.bar("download", 10, "shard") as bar:
        for _ in range(4):
            bar.advance()
        beat = read()
        assert beat is not None
        assert (beat.label, beat.done) == ("download", 0)
        assert beat.rate is beat.eta_seconds is None
    progress.begin("evaluate")
    beat = read()
    assert beat is not None
    assert (beat.label, beat.done, beat.total, beat.epoch) == ("evaluate", 0, None, None)


def test_rate_is_of_what_this_process_did_lately(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat_module, "INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(heartbeat_module, "RATE_SECONDS", 0.2)
    progress, read = watched
    with progress.counted(Work("fine-tune", 10**6, "image", done=5 * 10**5)) as bar:
        for size in [1000] * 10 + [10] * 10:
            time.sleep(0.05)
            bar.advance(size)
    beat = read()
    assert beat is not None
    assert beat.rate is not None
    assert 0 < beat.rate < 250  # Of the last ten, 200 a second; of all, 10,000.
    assert beat.eta_seconds == pytest.approx((10**6 - beat.done) / beat.rate)


HOSTILE = {
    "empty": b"",
    "no text": b"\xff\xfe{",
    "a list": b"[1]",
    "fields of something else": b'{"label": "x"}',
    "large": b'{"label": "' + b"x" * 2**20 + b'"}',
    "deep": b"[" * 10_000,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_heartbeat_is_none(home: Home, content: bytes) -> None:
    home.run("x").mkdir(parents=True)
    (home.run("x") / "heartbeat.json").write_bytes(content)
    assert read_heartbeat(home, "x") is None
    assert read_heartbeat(home, "absent") is None


def test_negative_counts_are_no_heartbeat_and_one_that_cannot_be_written_ends_no_run(
    watched: Watched, home: Home
) -> None:
    progress, read = watched
    progress.begin("source")
    path = home.run("x") / "heartbeat.json"
    assert read() is not None
    path.write_bytes(msgspec.json.encode({**json.loads(path.read_bytes()), "done": -1}))
    assert read() is None
    shutil.rmtree(path.parent)
    progress.begin("adapt")
    assert read() is None
