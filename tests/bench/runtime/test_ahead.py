"""Work done ahead: its order, its errors, and how far ahead it goes."""

import threading
import time
from collections.abc import Callable
from itertools import islice

import pytest

from bench.runtime.ahead import ahead, grouped


def slow(item: int) -> int:
    """Return the next number, sooner or later."""
    end = time.thread_time() + 0.002
    while time.thread_time() < end:
        time.sleep(0.0001 * (item % 3))
    return item + 1


def quick(item: int) -> int:
    """Return the next number at once."""
    return item + 1


@pytest.mark.parametrize("work", [slow, quick])
@pytest.mark.parametrize("count", [0, 1, 20, 1000])
def test_results_come_in_order(work: Callable[[int], int], count: int) -> None:
    for items in (0, 1, 8, 50):
        assert list(ahead(work, range(items), count)) == list(range(1, items + 1))


@pytest.mark.parametrize("work", [slow, quick])
def test_an_error_reaches_the_caller_after_what_came_before(work: Callable[[int], int]) -> None:
    def breaks(item: int) -> int:
        if item == 16:
            raise ValueError("sixteen")
        return work(item)

    results = ahead(breaks, range(1000), 100)
    assert list(islice(results, 16)) == list(range(1, 17))
    with pytest.raises(ValueError, match="sixteen"):
        next(results)


def test_slow_work_is_done_ahead_and_only_so_far() -> None:
    taken = iter(range(1000))
    results = ahead(slow, taken, 100)
    assert list(islice(results, 9)) == list(range(1, 10))
    assert 100 < next(taken) <= 130


def test_quick_work_stays_in_the_callers_thread() -> None:
    workers = set(ahead(lambda _: threading.current_thread(), range(100), 50))
    assert workers == {threading.current_thread()}


def test_who_stops_does_not_wait_for_the_rest() -> None:
    done = []

    def work(item: int) -> int:
        done.append(item)
        return slow(item)

    before = threading.active_count()
    results = ahead(work, range(10_000), 10_000)
    list(islice(results, 9))
    assert threading.active_count() > before
    results.close()  # type: ignore[attr-defined]
    assert len(done) < 5000
    assert threading.active_count() == before


def test_groups_hold_every_item_once() -> None:
    assert list(grouped("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
