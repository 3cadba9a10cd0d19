"""Do work in threads, ahead of whoever uses it: Pillow releases the GIL to decode and resize."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from statistics import median
from typing import TypeVar

from bench.runtime import threads

T = TypeVar("T")
R = TypeVar("R")

MOST_THREADS = 16
"""Threads at work; with more, one device cannot keep up."""

_AT_ONCE = 8
"""Items that a thread takes at once, so that handing them over costs little."""

_WORTH_SECONDS = 0.001
"""Work that takes less of a processor stays in the caller's thread. For images of 32 pixels (0.1 to
0.7 ms) threads took up to twice the processor seconds, because Python holds the GIL for most of it;
one of 256 pixels takes 1.5 to 2.3 ms. Measured on a CPU of two cores."""


def ahead(work: Callable[[T], R], items: Iterable[T], count: int) -> Iterator[R]:
    """Yield what some work makes of items, in order; threads are up to so many items ahead.

    The first few are timed in the caller's thread, and quick work stays there. Items are taken by
    the caller's thread, too. What the work raises is raised at the caller, and what has not begun
    by then is left. The same holds if the caller stops.
    """
    iterator, taken = iter(items), []
    for item in islice(iterator, _AT_ONCE):
        start = time.thread_time()
        result = work(item)
        taken.append(time.thread_time() - start)
        yield result
    # Processor time, which others' load does not lengthen; not the mean: some items are broken.
    quick = not taken or median(taken) < _WORTH_SECONDS
    yield from map(work, iterator) if quick else _in_threads(work, iterator, count)


def _in_threads(work: Callable[[T], R], items: Iterator[T], count: int) -> Iterator[R]:
    waiting: deque[Future[list[R]]] = deque()
    pool = ThreadPoolExecutor(min(threads.cores(), MOST_THREADS))
    try:
        for some in grouped(items, _AT_ONCE):
            waiting.append(pool.submit(_all, work, some))
            if len(waiting) * _AT_ONCE > count:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def grouped(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield items in lists of a size, the last of which may be shorter."""
    iterator = iter(items)
    while taken := list(islice(iterator, size)):
        yield taken


def _all(work: Callable[[T], R], items: list[T]) -> list[R]:
    return [work(item) for item in items]
