"""The authors' probe."""

import pytest

from eval.probe.adamw import learning_rate


def test_the_authors_schedule() -> None:
    """Linear to 0.01 over 200 steps, then half a cosine to zero."""
    rates = [learning_rate(step, 2800) for step in (0, 99, 199, 1500, 2799)]
    assert rates == pytest.approx([5e-5, 5e-3, 1e-2, 5e-3, 0], abs=1e-7)
