"""Principal components are scikit-learn's, their signs fixed."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from bench.core.arrays import FloatArray
from eval.dense.components import Components, coloured


def tokens(n: int, width: int, seed: int = 0) -> FloatArray:
    generator = np.random.default_rng(seed)
    mixed = generator.normal(size=(n, width)) * np.linspace(3, 0.2, width)
    turned = mixed @ np.linalg.qr(generator.normal(size=(width, width)))[0] + 5
    found: FloatArray = turned.astype(np.float32)
    return found


@pytest.mark.parametrize(("n", "width"), [(400, 16), (64, 48), (20, 64)])
def test_components_are_scikit_learns(n: int, width: int) -> None:
    """The last case has fewer tokens than dimensions."""
    shown = tokens(n, width)
    reference = PCA(3, svd_solver="full").fit(shown.astype(np.float64))
    found = Components.of(shown)
    signs = np.sign(np.sum(found.axes * reference.components_, axis=1))
    expected = reference.components_ * signs[:, None]
    np.testing.assert_allclose(found.axes, expected, atol=1e-6)
    np.testing.assert_allclose(found.shares, reference.explained_variance_ratio_, atol=1e-6)
    projected = reference.transform(shown.astype(np.float64)) * signs
    np.testing.assert_allclose(found.projected(shown), projected, atol=1e-6)


def test_signs_do_not_depend_on_the_order_of_tokens() -> None:
    shown = tokens(200, 12)
    axes = Components.of(shown).axes
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(shown))
        np.testing.assert_allclose(Components.of(shown[order]).axes, axes, atol=1e-9)
    assert (axes[np.arange(3), np.abs(axes).argmax(axis=1)] > 0).all()


def test_colours_are_joint_and_go_from_least_to_greatest() -> None:
    shown = tokens(2 * 4 * 5, 12).reshape(2, 4, 5, 12)
    shown[1] = shown[1] * 0.1 + 5
    colours, shares = coloured(shown)
    assert colours.shape == (2, 4, 5, 3)
    assert colours.reshape(-1, 3).min(axis=0).tolist() == [0, 0, 0]
    assert colours.reshape(-1, 3).max(axis=0).tolist() == [255, 255, 255]
    # By itself, the second image would have all levels too.
    assert np.ptp(colours[1].reshape(-1, 3), axis=0).max() < 200
    assert list(shares) == sorted(shares, reverse=True)
    assert 0 < shares.sum() <= 1


def test_patches_that_are_all_alike_have_a_colour_and_no_variance() -> None:
    colours, shares = coloured(np.ones((1, 2, 2, 5), np.float32))
    assert not colours.any()
    assert not shares.any()


@pytest.mark.parametrize(("n", "left"), [(1, 0), (2, 1), (3, 2)])
def test_components_that_only_rounding_fills_have_no_colour(n: int, left: int) -> None:
    """A few patches vary along fewer directions than three."""
    colours, _ = coloured(tokens(n, 12).reshape(1, 1, n, 12))
    assert np.ptp(colours.reshape(-1, 3), axis=0).tolist() == [255] * left + [0] * (3 - left)


def test_patches_that_differ_by_rounding_alone_are_alike() -> None:
    shown = np.repeat(tokens(1, 12), 40, axis=0).reshape(1, 5, 8, 12)
    shown[0, 2, 3] = np.nextafter(shown[0, 2, 3], np.float32(np.inf))
    assert not coloured(shown)[0].any()
