"""Slurm's signals, for the run's process and for its helpers."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, Normalize, ToTensor

from adapt.batches.order import BatchSchedule
from adapt.batches.ranks import RankBatch, rank_batches
from adapt.data import TrainingImages, load
from adapt.views.augment import Augment
from bench.core.specs import TrainSpec
from bench.runtime.signals import blocked_in_helpers
from tests.conftest import ROOT
from tests.support.tiny_clip import colour_task, write_colours

AUGMENT = Augment.of(Compose([CenterCrop(16), ToTensor(), Normalize([0.5] * 3, [0.2] * 3)]))


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Path]:
    """A file where handlers like submitit's note which process ran them."""
    path = tmp_path / "heard"
    path.touch()

    def note(number: int, _: object) -> None:
        with path.open("a") as stream:
            stream.write(f"{os.getpid()} {signal.Signals(number).name}\n")

    numbers = (signal.SIGUSR2, signal.SIGTERM)
    before = [signal.signal(number, note) for number in numbers]
    yield path
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def batches(folder: Path, workers: int) -> Iterator[Tensor]:
    image_set = write_colours(folder, 40, colour_task())
    images = TrainingImages(image_set.data, image_set.select(None, 0, "random"), [AUGMENT], 0)
    schedule = BatchSchedule(TrainSpec(batch_size=2), images.labels, 0)

    def wanted() -> Iterator[RankBatch]:
        return rank_batches(schedule.batches(1), 0, 1)

    return (batch.views[0] for _, batch in load(images, wanted, workers, torch.device("cpu")))


def test_workers_ignore_signals_but_their_parents(tmp_path: Path, heard: Path) -> None:
    expected = list(batches(tmp_path / "alone", workers=0))
    loaded = batches(tmp_path / "helped", workers=1)
    received = [next(loaded)]
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    # As from Slurm: from neither the worker nor its parent.
    for name in ("USR1", "USR2", "TERM", "USR2"):
        subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
    os.kill(worker.pid, signal.SIGUSR2)
    received += loaded
    assert all(torch.equal(*pair) for pair in zip(received, expected, strict=True))
    assert heard.read_text() == ""
    os.kill(os.getpid(), signal.SIGUSR2)
    assert heard.read_text() == f"{os.getpid()} SIGUSR2\n"


def test_workers_end_when_their_parent_says_so(tmp_path: Path, heard: Path) -> None:
    loaded = batches(tmp_path / "data", workers=1)
    next(loaded)
    (worker,) = multiprocessing.active_children()
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0
    assert heard.read_text() == ""


def test_signal_sent_while_helpers_start_is_ours(heard: Path) -> None:
    program = "import time; print('up', flush=True); time.sleep(60)"
    with blocked_in_helpers():
        helper = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        os.kill(os.getpid(), signal.SIGUSR2)
    assert heard.read_text() == f"{os.getpid()} SIGUSR2\n"
    assert helper.stdout is not None
    assert helper.stdout.readline() == b"up\n"
    helper.send_signal(signal.SIGUSR2)
    helper.send_signal(signal.SIGUSR1)
    time.sleep(0.2)
    assert helper.poll() is None
    helper.terminate()
    assert helper.wait(10) == -signal.SIGTERM
    helper.stdout.close()


PROGRAM = """
import os, signal, sys, time
from bench.runtime.signals import deferred_notice
then = sys.argv[1]
def tell():
    os.kill(os.getpid(), signal.SIGUSR2)
def leave(*_):
    print("left", flush=True)
    if then == "again while leaving":
        tell()
    sys.exit(7)
signal.signal(signal.SIGUSR2, leave)
started = time.monotonic()
try:
    with deferred_notice() as notice:
        tell()
        print("notice" if notice.given else "no notice", flush=True)
        while then == "again before leaving" and time.monotonic() < started + 10:
            time.sleep(0.1)
            tell()
        if then == "works on":
            time.sleep(30)
        if then == "saves":
            print("saved", flush=True)
        if then == "fails":
            raise ValueError
        if then not in ("ends", "works on"):
            notice.leave()
    print("not reached", flush=True)
finally:
    if then == "again after leaving":
        tell()
    print("in time" if time.monotonic() < started + 5 else "late", flush=True)
"""


@pytest.mark.parametrize(
    ("then", "first"),
    [
        ("saves", "saved"), ("ends", ""), ("fails", ""), ("works on", ""),
        ("again while leaving", ""), ("again after leaving", ""), ("again before leaving", ""),
    ],
)  # fmt: skip
def test_a_process_with_notice_saves_first_and_leaves_in_time(then: str, first: str) -> None:
    """It receives notice a second before its end; a second notice changes nothing."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, then],
        env={**os.environ, "PYTHONPATH": str(ROOT), "BENCH_NOTICE_SECONDS": "1"},
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert " ".join(done.stdout.split()) == f"notice {first} left in time".replace("  ", " ")
    assert done.returncode == 7, done.stderr
