"""The effective rank of features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.effective_rank import effective_rank


@given(n=st.integers(2, 40), dim=st.integers(2, 20), seed=st.integers(0, 99))
def test_it_is_the_entropy_of_the_singular_values(n: int, dim: int, seed: int) -> None:
    features = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    singular = np.linalg.svd(features.astype(np.float64), compute_uv=False)
    shares = singular / singular.sum()
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert effective_rank(features) == pytest.approx(expected, rel=1e-4)
    assert 1 <= effective_rank(features) <= min(n, dim) * (1 + 1e-9)


def test_features_that_are_all_alike_have_one_direction() -> None:
    one = np.ones((50, 8), np.float32) / np.sqrt(8)
    assert effective_rank(one) == pytest.approx(1, abs=1e-3)


def test_orthogonal_features_have_as_many_as_there_are() -> None:
    assert effective_rank(np.tile(np.eye(6, 9, dtype=np.float32), (4, 1))) == pytest.approx(6)
