"""A device that holds a few images at a time, where none can be filled."""

import torch
from torch import Tensor

from tests.support.observed import Encoded, Observer


class ShortMemory(Observer):
    """Cross-entropy on a device that holds a few images at a time.

    Args:
        room: How many.
        error: What it says of more.
    """

    def __init__(self, room: int, error: RuntimeError | None = None) -> None:
        self.room = room
        self.seen: list[int] = []
        self._error = error or torch.OutOfMemoryError("no room")

    def loss(self, encoded: Encoded, labels: Tensor, plain: Tensor) -> Tensor:
        if len(labels) > self.room:
            raise self._error
        self.seen.append(len(labels))
        return plain
