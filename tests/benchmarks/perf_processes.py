"""Trainings of the miniature CLIP side by side, and beside another program that wants a core.

Usage: python -m tests.benchmarks.perf_processes [--seconds 8] [--turns 3] [--count CORES]

Each training is a process that takes the real loop's steps, batches of 32, augmented. They start
together, and images are counted for some seconds; what is compared takes turns, and the turns'
medians are printed. Aims on a quiet machine of two cores: two processes of a thread do 1.8 times as
much as one, and still half of that when a core is taken.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.runtime.threads import COUNT, cores, sleep_at_barriers

BUSY = [sys.executable, "-c", "while True: pass"]


def train(seconds: float) -> int:
    """Wait for a line on standard input, then train; return how many images were taken."""
    import open_clip
    import torch

    from adapt.data import TrainingImages, load
    from adapt.train_step import TrainStep
    from adapt.views.augment import Augment
    from bench.core.specs import TrainSpec
    from tests.benchmarks.perf_step import IMAGES, batches
    from tests.benchmarks.perf_train import classifier
    from tests.support.noise_images import write_pictures
    from tests.support.plain_step import cross_entropy

    spec = TrainSpec(batch_size=32, lr=1e-4)
    model, size = classifier("miniature")
    train_step = TrainStep(cross_entropy(model), spec, print)
    augment = Augment.of(open_clip.image_transform(size, is_train=True))
    with tempfile.TemporaryDirectory() as folder:
        image_set = write_pictures(Path(folder) / "data", IMAGES, size, ".png")
        rows = image_set.select(None, 0, "random")
        images = TrainingImages(image_set.data, rows, [augment], 0)
        taken, end = 0, float("inf")
        loaded = load(images, lambda: batches(32), 0, torch.device("cpu"))
        for step, (share, batch) in enumerate(loaded):
            train_step.backward(share, images.normalise(batch), step)
            train_step.update(step, spec.lr, spec.weight_decay)
            if end == float("inf"):  # The first step warms up.
                print("ready", flush=True)
                sys.stdin.readline()
                end = time.monotonic() + seconds
                continue
            taken += share.total
            if time.monotonic() >= end:
                break
    return taken


def speed(processes: int, threads: int, seconds: float, *, busy: bool = False) -> float:
    """Return the images per second of some processes together."""
    words = [sys.executable, "-m", "tests.benchmarks.perf_processes", "--worker"]
    words += ["--seconds", str(seconds)]
    environment = {**os.environ, COUNT: str(threads)}
    started = [
        subprocess.Popen(
            words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    other = subprocess.Popen(BUSY) if busy else None
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    taken = sum(int(process.communicate()[0]) for process in started)
    if other:
        other.kill()
        other.wait()
    return taken / seconds


def main() -> None:
    """Measure by turns, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--count", type=int, default=cores())
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sleep_at_barriers()
    if given.worker:
        print(train(given.seconds))
        return
    n = given.count
    cases = {
        "1 process of 1 thread": (1, 1, False),
        f"{n} processes of 1 thread": (n, 1, False),
        f"{n} processes of 1 thread, a core taken": (n, 1, True),
        f"1 process of {n} threads": (1, n, False),
        f"1 process of {n} threads, a core taken": (1, n, True),
    }
    speeds: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(given.turns):
        for case, (processes, threads, busy) in cases.items():
            speeds[case].append(speed(processes, threads, given.seconds, busy=busy))
    medians = {case: statistics.median(values) for case, values in speeds.items()}
    for case, images in medians.items():
        print(f"{case}: {images:.0f} images/s")
    one, together, taken, _, threads_taken = medians.values()
    print(f"load of the machine beside this: {os.getloadavg()[2]:.1f} in 15 minutes")
    print(f"{n} processes to one: {together / one:.2f}")
    print(f"a core taken to none: {taken / together:.2f}")
    print(f"a core taken, {n} processes to {n} threads: {taken / threads_taken:.2f}")


if __name__ == "__main__":
    main()
