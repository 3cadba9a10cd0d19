"""How many processes share a study's runs on this machine, and in which order each takes them."""

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
"""Memory of a process that is at small networks: one that generated the miniature's images took
1.2 GB (measured), most of it libraries and decoded splits."""


def processes_for(specs: Sequence[RunSpec], home: Home) -> int:
    """Return how many processes make the best use of this machine for some runs.

    One for each visible GPU; without any, one for each core, as far as the memory goes, if all
    networks are small (`bench.runtime.threads`), else one that has all cores.
    """
    most = len(gpus() or ()) or (_small_ones() if are_small(specs, home) else 1)
    return max(1, min(most, len(specs)))


def _small_ones() -> int:
    return min(threads.cores(), threads.memory() // PROCESS_BYTES)


def gpus() -> list[str] | None:
    """Return the visible GPUs as CUDA_VISIBLE_DEVICES names them; None if nothing says."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        named = [name.strip() for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",")]
        # CUDA reads no further than -1; NoDevFiles is Slurm's word for none.
        seen = takewhile(lambda name: name != "-1", named)
        return [name for name in seen if name not in ("", "NoDevFiles")]
    if not shutil.which("nvidia-smi"):
        return None
    answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    # Of a GPU that is cut in parts, the parts stand below it, indented.
    found = [line for line in answer.stdout.splitlines() if line.startswith("GPU ")]
    return [str(place) for place, _ in enumerate(found)] or None


def are_small(specs: Sequence[RunSpec], home: Home) -> bool:
    """Return whether every network of some runs is small; one that is not here may not be."""
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


def ordered(specs: Sequence[RunSpec], place: int, count: int) -> list[RunSpec]:
    """Return the order in which process number ``place`` of ``count`` takes the runs.

    Small n come first, so that all curves begin early; of one size the seeds in turn, and of those
    the sources, each process from another one, so that two do not make the same images. No two
    processes begin with the same run: one of them would wait for it.
    """
    arms = list(dict.fromkeys((spec.task, spec.source) for spec in specs if spec.n != 0))
    number = {arm: index for index, arm in enumerate(arms)}

    def rank(index: int, place: int) -> tuple[float, int, int]:
        spec = specs[index]
        if spec.n == 0:  # The first process makes these points.
            return (0 if place == 0 else math.inf), spec.seed, 0
        size = math.inf if spec.n is None else spec.n
        arm = (number[spec.task, spec.source] - place * len(arms) // count) % len(arms)
        return size, spec.seed, arm

    left = list(range(len(specs)))
    for other in range(place):
        left.remove(min(left, key=lambda index: rank(index, other)))
    first = min(left, key=lambda index: rank(index, place))
    others = sorted(range(len(specs)), key=lambda index: rank(index, place))
    return [specs[first], *(specs[index] for index in others if index != first)]
