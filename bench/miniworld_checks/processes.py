"""Work on several domains at once: a process a core, of one thread each, as small networks like."""

import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from bench.runtime import threads

Given = TypeVar("Given")
Found = TypeVar("Found")


def map_in_processes(work: Callable[[Given], Found], given: Iterable[Given]) -> list[Found]:
    """Return what a function finds for each thing, in their order.

    Starts processes with `spawn`, so a calling script needs a `__main__` guard.

    Args:
        work: A function of a module, which new processes can import.
        given: What to give it; the things and what it returns must pickle.
    """
    things = list(given)
    # Forking a process whose table library runs threads may hang, hence spawn.
    spawn = multiprocessing.get_context("spawn")
    count = max(1, min(threads.cores(), len(things)))
    with ProcessPoolExecutor(count, mp_context=spawn, initializer=_use_one_thread) as pool:
        return list(pool.map(work, things))


def _use_one_thread() -> None:
    if threads.COUNT not in os.environ:
        import torch

        torch.set_num_threads(1)
