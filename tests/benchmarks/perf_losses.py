"""The contrastive losses against a plain implementation, forward and backward, on one core.

Usage: python -m tests.benchmarks.perf_losses [--rows 8192] [--dim 256] [--turns 5]

Times are processor seconds, the median of turns. Memory is what a fresh process needs beyond its
inputs, as a share of the matrix of logits. Aims: a plain implementation's time x 1.1, and half of
that matrix.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from adapt.losses.multi_positive import multi_positive_loss
from adapt.losses.pairwise_sigmoid import pairwise_sigmoid_loss
from tests.support.plain_losses import plain_multi_positive

TEMPERATURE = 0.1
PER_GROUP = 4


def plain(features: Tensor, groups: Tensor) -> Tensor:
    return plain_multi_positive(features, groups, TEMPERATURE)


def multi_positive(features: Tensor, groups: Tensor) -> Tensor:
    ids = torch.arange(len(features))
    return multi_positive_loss(features, groups, temperature=TEMPERATURE, ids=ids)[0]


def sigmoid(features: Tensor, groups: Tensor) -> Tensor:
    return pairwise_sigmoid_loss(features, groups, temperature=TEMPERATURE)[0]


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "plain": plain,
    "multi_positive_loss": multi_positive,
    "pairwise_sigmoid_loss": sigmoid,
}


def inputs(rows: int, dim: int) -> tuple[Tensor, Tensor]:
    """Return features that require a gradient, and their groups."""
    features = torch.randn(rows, dim, generator=torch.Generator().manual_seed(0))
    return features.requires_grad_(), torch.arange(rows) // PER_GROUP


def seconds(name: str, features: Tensor, groups: Tensor) -> float:
    """Return the processor seconds of a forward and a backward pass."""
    features.grad = None
    start = time.process_time()
    LOSSES[name](features, groups).backward()  # type: ignore[no-untyped-call]
    return time.process_time() - start


def status(name: str) -> int:
    """Return a size of this process in kB."""
    return int(Path("/proc/self/status").read_text().partition(f"{name}:")[2].split()[0])


def measure(name: str, rows: int, dim: int, turns: int) -> None:
    """Print how many kB some passes need beyond the inputs."""
    seconds(name, *inputs(64, dim))
    features, groups = inputs(rows, dim)
    before = status("VmRSS")
    for _ in range(turns):
        seconds(name, features, groups)
    print(status("VmHWM") - before)


def peak(name: str, given: argparse.Namespace, turns: int, **environment: str) -> float:
    """Return what passes in a fresh process need, as a share of the logits."""
    words = [sys.executable, "-m", "tests.benchmarks.perf_losses", "--measure", name]
    words += ["--rows", str(given.rows), "--dim", str(given.dim), "--turns", str(turns)]
    done = subprocess.run(
        words, env={**os.environ, **environment}, check=True, capture_output=True, text=True
    )
    size: int = given.rows**2 * torch.float32.itemsize
    return int(done.stdout) * 1024 / size


def main() -> None:
    """Measure, and print times and memory as ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--measure", choices=LOSSES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.measure:
        return measure(given.measure, given.rows, given.dim, given.turns)
    features, groups = inputs(given.rows, given.dim)
    turns = [{name: seconds(name, features, groups) for name in LOSSES} for _ in range(given.turns)]
    medians = {name: statistics.median(turn[name] for turn in turns) for name in LOSSES}
    for name, median in medians.items():
        # Else freed blocks stay with the process, which says more of malloc than of the loss.
        live = peak(name, given, 1, MALLOC_MMAP_THRESHOLD_="1000000")
        first, later = (peak(name, given, turns) for turns in (1, 5))
        print(
            f"{name}: {median:.2f} s, {median / medians['plain']:.2f} of plain; memory {live:.2f} "
            f"of the logits live, {first:.2f} held after a step, {later:.2f} after five"
        )
    return None


if __name__ == "__main__":
    main()
