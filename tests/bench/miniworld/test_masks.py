"""Masks: where the object is in a picture of the renderer."""

import numpy as np
import pytest

from bench.miniworld.render import CLASSES, render
from bench.miniworld.render.masks import render_mask

SUBJECTS = [(domain, name) for domain, names in CLASSES.items() for name in names]


@pytest.mark.parametrize(("domain", "name"), SUBJECTS)
def test_a_mask_is_of_its_picture_at_every_size(domain: str, name: str) -> None:
    for seed in range(6):
        small, large = (render_mask(domain, name, seed, size=size) for size in (32, 128))
        assert (small.shape, small.dtype) == ((32, 32), np.dtype(bool))
        assert 0.04 < small.mean() < 0.75
        shares = large.reshape(32, 4, 32, 4).mean(axis=(1, 3))
        assert (small == (shares > 0.5)).mean() > 0.93
        # Pixels clear of the edge are alike at both sizes.
        assert small[shares == 1].mean() > 0.98
        assert small[shares == 0].mean() < 0.02


def test_two_pictures_have_two_masks() -> None:
    first, second = (render_mask("cars", "smart fortwo", seed, size=32) for seed in (1, 2))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, render_mask("cars", "smart fortwo", 1))


def test_masks_have_edges_where_their_pictures_have() -> None:
    across, elsewhere = [], []
    for domain, name in SUBJECTS:
        for seed in range(4):
            picture = render(domain, name, seed).astype(float)
            mask = render_mask(domain, name, seed)
            jumps = np.abs(np.diff(picture, axis=1)).mean(axis=2)
            edge = mask[:, 1:] != mask[:, :-1]
            outside = ~mask[:, 1:] & ~mask[:, :-1]
            across.append(jumps[edge].mean())
            elsewhere.append(jumps[outside].mean())
    assert np.mean(across) > 5 * np.mean(elsewhere)


def test_what_has_no_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="distractor"):
        render_mask("other", "helicopter", 1)
    with pytest.raises(ValueError, match="Did you mean 'Spitfire'"):
        render_mask("aircraft", "Spitfier", 1)
    with pytest.raises(ValueError, match="seed must be"):
        render_mask("aircraft", "Spitfire", -1)
