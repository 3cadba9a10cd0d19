"""Where the object is in a picture: its mask, as a segmentation's ground truth."""

import numpy as np
from numpy.typing import NDArray

from bench.miniworld.render.canvas import Silhouette
from bench.miniworld.render.chances import Fixed
from bench.miniworld.render.picture import OTHER, checked_chances, compose

Mask = NDArray[np.bool_]


def render_mask(
    domain: str, class_name: str, seed: int, *, size: int = 32, fixed: Fixed | None = None
) -> Mask:
    """Return where the object is seen in `render(domain, class_name, seed, size, fixed)`.

    Stem and floating leaf belong to a flower; a car's shadow on the ground does not belong to it.
    What stands in front of the object hides it.

    Args:
        domain: a key of CLASSES.
        class_name: a class of the domain.
        seed: number of the picture, not negative.
        size: width and height in pixels.
        fixed: aspects that seeds of their own decide.

    Returns:
        bool [size, size], True where more than half of a pixel is the object's.

    Raises:
        ValueError: if the domain, the class, a seed, the size or an aspect is not valid.
    """
    chances = checked_chances(domain, class_name, seed, size, fixed)
    if domain == OTHER:
        raise ValueError(f"a distractor shows no class's object: {class_name!r}")
    canvas = Silhouette(size)
    compose(canvas, domain, class_name, chances)
    mask: Mask = canvas.shares() > 0.5
    return mask
