"""When a training saves: often enough to lose little to a kill, seldom enough to cost little."""

import math
import time

SAVE_SECONDS = 30.0
"""A kill costs at most this much training, plus `adapt.training.CHECK_STEPS` and `SAVE_SHARE`."""

SAVE_SHARE = 0.02
"""Checkpoints take at most this share of the time. Those of a ViT-B/16 are 1.4 GB."""


class SavePolicy:
    """Tells when the next checkpoint is due; the first one is due at once."""

    def __init__(self) -> None:
        self._due_at = -math.inf

    def is_due(self) -> bool:
        """Return whether it is time to save."""
        return time.monotonic() >= self._due_at

    def saved(self, seconds: float = 0.0) -> None:
        """Postpone the next checkpoint, as one is on disk.

        Args:
            seconds: How long it took to write.
        """
        self._due_at = time.monotonic() + max(SAVE_SECONDS, seconds / SAVE_SHARE)
