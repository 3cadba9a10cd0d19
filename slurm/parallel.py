"""How many workers share a study's runs on this machine, and in which order each takes them."""

import math
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from itertools import takewhile

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.core.specs import RunSpec
from bench.runtime import threads

PROCESS_BYTES = 3 * 2**29
"""Memory of a worker with small networks: one that generated the miniature's images took 1.2 GB
(measured), most of it libraries and decoded splits."""


def processes_for(specs: Sequence[RunSpec], home: Home) -> int:
    """Return how many workers make the best use of this machine for some runs.

    One for each visible GPU. Without a GPU: one for each core, as far as the memory goes, if all
    networks are small (`bench.runtime.threads`), else one that has all cores.
    """
    count = len(gpus() or ())
    if not count and are_small(specs, home):
        count = min(threads.cores(), threads.memory() // PROCESS_BYTES)
    return max(1, min(count, len(specs)))


def gpus() -> list[str] | None:
    """Return the visible GPUs as CUDA_VISIBLE_DEVICES names them; None if they are unknown."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        names = [name.strip() for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",")]
        # CUDA reads no further than -1; Slurm writes NoDevFiles for none.
        visible = takewhile(lambda name: name != "-1", names)
        return [name for name in visible if name not in ("", "NoDevFiles")]
    if not shutil.which("nvidia-smi"):
        return None
    answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    # The lines of MIG devices are indented below their GPU's.
    lines = [line for line in answer.stdout.splitlines() if line.startswith("GPU ")]
    return [str(index) for index in range(len(lines))] or None


def are_small(specs: Sequence[RunSpec], home: Home) -> bool:
    """Return whether every network of some runs is small; one that is absent counts as large."""
    names = {name for spec in specs for name in (spec.model, *_models(spec.options))}
    try:
        return all(threads.is_small(home.find_weights(name)) for name in names)
    except RequestError:
        return False


def _models(options: object) -> Iterator[str]:
    """Yield the weights that options name, however deep."""
    if not isinstance(options, dict):
        return
    for name, value in options.items():
        if name == "model" and isinstance(value, str):
            yield value
        yield from _models(value)


def ordered(specs: Sequence[RunSpec], worker: int, count: int) -> list[RunSpec]:
    """Return the order in which one worker of ``count`` takes the runs.

    Small n come first, so that all curves begin early. Equal n are ordered by seed, then by source.
    Each worker begins with another source, so that two do not make the same images, and with
    another run, so that none has to wait.
    """
    arms = list(dict.fromkeys((spec.task, spec.source) for spec in specs if spec.n != 0))
    number = {arm: index for index, arm in enumerate(arms)}

    def rank(index: int, worker: int) -> tuple[float, int, int]:
        spec = specs[index]
        if spec.n == 0:  # The first worker takes the unadapted models.
            return (0 if worker == 0 else math.inf), spec.seed, 0
        size = math.inf if spec.n is None else spec.n
        arm = (number[spec.task, spec.source] - worker * len(arms) // count) % len(arms)
        return size, spec.seed, arm

    left = list(range(len(specs)))
    for other in range(worker):
        left.remove(min(left, key=lambda index: rank(index, other)))
    first = min(left, key=lambda index: rank(index, worker))
    others = sorted(range(len(specs)), key=lambda index: rank(index, worker))
    return [specs[first], *(specs[index] for index in others if index != first)]
