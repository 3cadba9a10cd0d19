"""Work on several domains at once: one process per core, with one thread each."""

import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from bench.runtime import threads

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return a function's result for each item, in order.

    Starts processes with `spawn`, so a calling script needs a `__main__` guard.

    Args:
        work: A function of a module, which new processes can import.
        items: Its arguments; they and the results must pickle.
    """
    arguments = list(items)
    # Forking a process whose table library runs threads may hang, hence spawn.
    spawn = multiprocessing.get_context("spawn")
    count = max(1, min(threads.cores(), len(arguments)))
    with ProcessPoolExecutor(count, mp_context=spawn, initializer=_use_one_thread) as pool:
        return list(pool.map(work, arguments))


def _use_one_thread() -> None:
    if threads.COUNT not in os.environ:
        import torch

        torch.set_num_threads(1)
