"""A benchmark image as other sites may show it: cropped, turned, without its border."""

import math
from itertools import product

import numpy as np
from PIL import Image

from bench.storage.image_codec import other_backgrounds
from sources.screening.phash import (
    HASH_SIDE,
    LEAST_SIDE,
    Grid,
    Hashes,
    coefficients,
    grid,
    signs,
    structured,
    trimmed,
    waves,
)

FRAMED_SIDE = 128
"""Longest side that framings are made from, in pixels: twice the hash's grid."""

_SHARES = tuple(step / 40 for step in range(5))
"""What may be cut off each side: a hash stands a shift of 2 % and no more, hence steps of 2.5 %."""

_CUTS = list(product(_SHARES, _SHARES))
"""What is cut off both ends of a side."""

_ANGLES = (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)
"""Degrees anticlockwise; 5 degrees move a corner by 6 % of a square's side."""

FRAMINGS_VERSION = 2
"""Goes up with whatever changes the framings of an image."""

_CUT_WAVES = np.concatenate([waves(start, 1 - end) for start, end in _CUTS])
_CROPS = [
    "cropped by {:.1%}, {:.1%}, {:.1%}, {:.1%} (left, top, right, bottom)".format(*cuts)
    if any(cuts := (left, top, right, bottom))
    else "as it is"
    for (top, bottom), (left, right) in product(_CUTS, _CUTS)
]
_EVEN = [
    place
    for place, (down, across) in enumerate(product(_CUTS, _CUTS))
    if len({*down, *across}) == 1
]
"""Places of the crops by the same share at each side, the smallest first."""


def framings(image: Image.Image) -> tuple[list[str], Hashes]:
    """Return the names of an image's framings, and their hashes, uint64 ``[framings, 4]``.

    One that was transparent is framed as programs save it as a JPEG: on white, black, or neither.

    Args:
        image: One with a shorter side below `LEAST_SIDE` has no framings.
    """
    names, hashes = _framings(image.convert("L"))
    for how, shown in other_backgrounds(image).items():
        more, others = _framings(shown.convert("L"))
        names += [f"{how}, {name}" for name in more]
        hashes = np.concatenate([hashes, others])
    return names, hashes


def _framings(grey: Image.Image) -> tuple[list[str], Hashes]:
    """Return the framings of an image on one background.

    An image without much structure is cropped equally alone: of the frequencies that it lacks the
    signs are noise, and any soft edge would pass for any other. A small one is as it is, or cropped
    by about a pixel at each side: more may make another pose of it.
    """
    if min(grey.size) < LEAST_SIDE:
        return [], np.empty((0, 4), np.uint64)
    levels = grid(grey)
    if min(grey.size) < 2 * LEAST_SIDE:
        return [_CROPS[place] for place in _EVEN[:2]], _cropped(levels)[_EVEN[:2]]
    structure = structured(coefficients(levels))
    crops = range(len(_CROPS)) if structure else _EVEN
    names, hashes = [_CROPS[place] for place in crops], [_cropped(levels)[crops]]
    grey.thumbnail((FRAMED_SIDE, FRAMED_SIDE), Image.Resampling.BOX)
    inside = trimmed(grey)
    if inside:
        names += [f"without its border, {_CROPS[place]}" for place in crops]
        hashes.append(_cropped(grid(inside))[crops])
    for angle in _ANGLES if structure else ():
        shown = _turned(grey, angle)
        names += [f"turned by {angle} degrees, {name}" for name in shown]
        hashes.append(signs(np.stack(list(shown.values()))))
    return names, np.concatenate(hashes)


def _cropped(levels: Grid) -> Hashes:
    """Return the hashes of all crops, in the order of their names."""
    side = HASH_SIDE
    return signs(
        (_CUT_WAVES @ levels @ _CUT_WAVES.T)
        .reshape(len(_CUTS), side, len(_CUTS), side)
        .swapaxes(1, 2)
        .reshape(-1, side, side)
    )


def _turned(grey: Image.Image, angle: float) -> dict[str, Grid]:
    """Return the frequencies of an image turned about its middle, by what becomes of its edges."""
    shown = {}
    for name, level in (("black", 0), ("white", 255)):
        for larger, what in ((False, "corners cut off"), (True, "corners kept")):
            turned = grey.rotate(angle, Image.Resampling.BILINEAR, expand=larger, fillcolor=level)
            shown[f"{what}, on {name}"] = coefficients(grid(turned))
    # The largest rectangle of the same shape that has no empty corner.
    width, height = grey.size
    sine, cosine = math.sin(math.radians(abs(angle))), math.cos(math.radians(angle))
    share = min(width, height) / (max(width, height) * sine + min(width, height) * cosine)
    inner = waves((1 - share) / 2, (1 + share) / 2)
    shown["cropped to what it fills"] = (
        inner @ grid(grey.rotate(angle, Image.Resampling.BILINEAR)) @ inner.T
    )
    return shown
