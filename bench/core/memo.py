"""Looking once: within a block, whatever is outside is looked at once, however many ask.

A study of many runs asks after the same weights, pool and task again and again. Nothing is
remembered beyond the block, so that a change on disk is seen by the next request.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_seen: ContextVar[dict[Hashable, object] | None] = ContextVar("seen", default=None)


@contextmanager
def memo_scope() -> Iterator[None]:
    """Within the block, functions marked `memo` answer equal questions with one look."""
    token = _seen.set({})
    try:
        yield
    finally:
        _seen.reset(token)


def memo(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function that looks outside; its arguments are hashable, its results are shared."""

    @wraps(function)
    def looked(*args: P.args, **kwargs: P.kwargs) -> R:
        seen = _seen.get()
        if seen is None:
            return function(*args, **kwargs)
        question = (function, args, tuple(kwargs.items()))
        if question not in seen:
            seen[question] = function(*args, **kwargs)
        answer: R = seen[question]  # type: ignore[assignment]
        return answer

    return looked
