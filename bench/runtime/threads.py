"""Choose how many threads a network uses, and how they wait for each other.

The miniature CLIP has less work between two barriers than waking a second thread costs, so one
process makes 530 images/s with one thread, and two such processes twice that (measured).
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.core.walk import walk
from bench.core.weights_folder import checked_config, is_architecture

SMALL_BYTES = 64 * 2**20
"""A weights folder of at most this size holds a small network: 16 million float32 parameters. The
miniature world's have 3 and 9 MB, OpenAI's smallest CLIP 400 MB."""

SMALL_WIDTH = 256
"""An architecture without weights is small if its tower is a ViT of at most this width, of which
open_clip's usual 12 layers have 38 MB."""

COUNT = "OMP_NUM_THREADS"

CGROUP = Path("/sys/fs/cgroup")
"""Where a container's limits are (cgroup v2), if it has any."""

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def sleep_at_barriers() -> None:
    """Let threads sleep at a barrier instead of spinning, unless the environment decides.

    A spinning thread takes a core from the one it waits for. Call this before torch is imported:
    its OpenMP reads the environment once.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        available = len(os.sched_getaffinity(0))
    else:
        available = os.cpu_count() or 1
    match _limit("cpu.max"):  # Microseconds of processor time per period of wall time.
        case [quota, period]:
            return max(1, min(available, quota // period))
    return available


def memory() -> int:
    """Return the memory that processes may use here, in bytes, used memory included."""
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([installed, *_limit("memory.max")])


def _limit(name: str) -> list[int]:
    """Return the numbers above 0 that make up a limit; none if there is no such limit."""
    try:
        numbers = [int(word) for word in (CGROUP / name).read_text().split()]
    except (OSError, ValueError):  # "max" is no number.
        return []
    return numbers if min(numbers, default=0) > 0 else []


def is_small(weights: Path) -> bool:
    """Return whether a weights folder holds a small network, or the architecture of one."""
    if is_architecture(weights):
        tower = checked_config(weights)["vision_cfg"]
        return "timm_model_name" not in tower and tower.get("width", math.inf) <= SMALL_WIDTH
    return sum(path.stat().st_size for _, path in walk(weights).files) <= SMALL_BYTES


@contextmanager
def limited_for(weights: Path) -> Iterator[None]:
    """Use one thread in the block if a network is small, unless the environment decides."""
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
