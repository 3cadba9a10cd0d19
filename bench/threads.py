"""How many threads a network gets, and how they wait for each other.

The miniature CLIP has less work between two barriers than waking a second thread costs, so one
process makes 530 images/s with one thread, and two such processes twice that (measured).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SMALL_BYTES = 64 * 2**20
"""A weights folder of at most this size holds a small network: 16 million float32 parameters, the
miniature world's have 3 and 9 MB. OpenAI's
smallest CLIP has 400 MB."""

COUNT = "OMP_NUM_THREADS"

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def let_waiting_sleep() -> None:
    """Let threads that wait at a barrier sleep instead of spin, unless the environment says how.

    Spinning takes a core from whoever the other thread waits for. Call it before torch is imported:
    its OpenMP reads the environment once.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_small(weights: Path) -> bool:
    """Return whether a weights folder holds a small network."""
    files = (path for path in weights.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files) <= SMALL_BYTES


@contextmanager
def suited(weights: Path) -> Iterator[None]:
    """Use one thread in the block if a network is small, unless the environment says how many."""
    if COUNT in os.environ or not is_small(weights):
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
