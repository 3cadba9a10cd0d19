"""Memoise reads of files and packages, within a block only.

A study of many runs asks for the same weights, pool and task again and again. Nothing is remembered
beyond the block, so the next request sees what changed on disk.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_results: ContextVar[dict[Hashable, object] | None] = ContextVar("results", default=None)


@contextmanager
def memo_scope() -> Iterator[None]:
    """Call each `memo` function once per set of arguments within the block."""
    token = _results.set({})
    try:
        yield
    finally:
        _results.reset(token)


def memo(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function for `memo_scope`; its arguments are hashable, its results are shared."""

    @wraps(function)
    def memoised(*args: P.args, **kwargs: P.kwargs) -> R:
        results = _results.get()
        if results is None:
            return function(*args, **kwargs)
        key = (function, args, tuple(kwargs.items()))
        if key not in results:
            results[key] = function(*args, **kwargs)
        result: R = results[key]  # type: ignore[assignment]
        return result

    return memoised
