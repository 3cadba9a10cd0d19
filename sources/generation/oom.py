"""Halving: work in batches that shrink when memory runs out."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from bench.core.errors import BenchError
from bench.runtime.memory_errors import is_out_of_memory

T = TypeVar("T")
R = TypeVar("R")

_LONGEST_REASON = 200


class Halving:
    """Does work batch by batch, and by half the batch from where memory ran out.

    Args:
        batch: Items to begin with.

    Attributes:
        batch: Items that fit, as far as is known.
        times: How often it was halved.
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.times = 0

    def __call__(self, work: Callable[[Sequence[T]], R], items: Sequence[T]) -> list[R]:
        """Return what the work makes of each batch of items, in order.

        Raises:
            BenchError: If there is no memory for a single item.
        """
        results: list[R] = []
        start = 0
        while start < len(items):
            part = items[start : start + self.batch]
            why = ""
            try:
                results.append(work(part))
                start += len(part)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                why = " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
            # Here the error is gone, and with it the frames that hold what filled the memory.
            if why:
                self._halve(len(part), why)
        return results

    def _halve(self, failed: int, why: str) -> None:
        import torch

        if failed == 1:
            raise BenchError(
                f"there is not enough memory to generate a single image: {why}",
                "try --set source.generation.dtype=fp16, a smaller height, or a larger GPU",
            )
        self.batch = failed // 2
        self.times += 1
        torch.cuda.empty_cache()
