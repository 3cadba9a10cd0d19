"""What is fixed of a picture is the same in another, and the rest is not."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.miniworld.render import ASPECTS, CLASSES, Aspect, Fixed, render
from bench.miniworld.render.masks import render_mask

SCENES = range(6)
GRAIN = 15
"""Two pixels of one colour differ by less: the grain's standard deviation is at most 2."""

Number = NDArray[np.int64]
Mask = NDArray[np.bool_]


def fixed(scene: int, *aspects: Aspect) -> Fixed:
    return dict.fromkeys(aspects, 1000 + scene)


def picture(domain: str, name: str, seed: int, given: Fixed) -> Number:
    return render(domain, name, seed, fixed=given).astype(np.int64)


def interior(mask: Mask) -> Mask:
    """Return the pixels of a mask all of whose neighbours are in it too."""
    padded = np.pad(mask, 1)
    sides = itertools.product((0, 1, 2), repeat=2)
    inside: Mask = np.all([padded[y : y + 32, x : x + 32] for y, x in sides], axis=0)
    return inside


def shares_alike(domain: str, where: Callable[[Mask, Mask], Mask], *aspects: Aspect) -> float:
    """Return the share of some pixels that two pictures of a scene have alike.

    Less than half of a pixel may be of what is elsewhere, hence not quite 1 where all is fixed.
    """
    alike = []
    for name, scene in itertools.product(CLASSES[domain][:4], SCENES):
        given = fixed(scene, *aspects)
        first, second = (picture(domain, name, seed, given) for seed in (1, 2))
        masks = (render_mask(domain, name, seed, fixed=given) for seed in (1, 2))
        alike.append((np.abs(first - second).max(axis=2) < GRAIN)[interior(where(*masks))])
    return float(np.concatenate(alike).mean())


@pytest.mark.parametrize("domain", CLASSES)
def test_with_backdrop_and_view_fixed_only_the_object_changes(domain: str) -> None:
    around = shares_alike(domain, lambda a, b: ~a & ~b, "backdrop", "view")
    # A car's shadow, which is no part of it, has a shade of its own.
    assert around > (0.9 if domain == "cars" else 0.98)
    assert shares_alike(domain, np.logical_and, "backdrop", "view") < 0.35


@pytest.mark.parametrize("domain", CLASSES)
def test_with_paint_and_view_fixed_only_the_surroundings_change(domain: str) -> None:
    assert shares_alike(domain, np.logical_and, "paint", "view") > 0.98
    assert shares_alike(domain, lambda a, b: ~a & ~b, "paint", "view") < 0.35


@pytest.mark.parametrize("domain", CLASSES)
def test_with_backdrop_and_paint_fixed_the_object_moves(domain: str) -> None:
    for name, scene in itertools.product(CLASSES[domain], SCENES):
        given = fixed(scene, "backdrop", "paint")
        first, second = (render_mask(domain, name, seed, fixed=given) for seed in (1, 2))
        assert (first != second).mean() > 0.02


@pytest.mark.parametrize("domain", CLASSES)
def test_with_all_fixed_only_grain_changes(domain: str) -> None:
    for name in CLASSES[domain]:
        given = fixed(1, *ASPECTS)
        first, second = (picture(domain, name, seed, given) for seed in (1, 2))
        assert np.abs(first - second).max() < GRAIN
        assert (first != second).any()
        other = picture(domain, name, 1, fixed(2, *ASPECTS))
        assert np.abs(first - other).mean() > 10


@pytest.mark.parametrize("domain", CLASSES)
def test_classes_of_one_scene_stand_before_the_same_backdrop(domain: str) -> None:
    first, second, *_ = CLASSES[domain]
    for scene in SCENES:
        given = fixed(scene, "backdrop", "view", "paint")
        free = ~(
            render_mask(domain, first, 1, fixed=given) | render_mask(domain, second, 1, fixed=given)
        )
        one, two = (picture(domain, name, 1, given) for name in (first, second))
        same = (np.abs(one - two).max(axis=2) < GRAIN)[interior(free)].mean()
        assert same > (0.85 if domain == "cars" else 0.97)
        assert (np.abs(one - two).max(axis=2) > GRAIN).mean() > 0.03


def test_what_cannot_be_fixed_is_refused() -> None:
    with pytest.raises(ValueError, match="choose among backdrop, paint, view"):
        render("cars", "Volvo 240", 1, fixed={"pose": 1})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="a seed must be"):
        render("cars", "Volvo 240", 1, fixed={"view": -1})
    with pytest.raises(ValueError, match="nothing of a distractor"):
        render("other", "helicopter", 1, fixed={"view": 1})
