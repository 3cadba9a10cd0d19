"""Measure which structural attributes of a class survive in generated images."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench.miniworld.render import CLASSES, attributes


class Kept(NamedTuple):
    """How often an image's read class has the attribute's value of the class it should show."""

    attribute: str
    real: float
    generated: float
    chance: float
    """What a reader who guesses every class equally often would get."""

    @property
    def lost(self) -> float:
        """What generated images lose against real ones."""
        return self.real - self.generated


def attributes_kept(domain: str, real: ArrayLike, generated: ArrayLike) -> list[Kept]:
    """Return every attribute that differs between classes of a domain, the most distorted first.

    Args:
        domain: One of `CLASSES`.
        real: Counts of real images by shown class (row) and read class (column), in the order of
            `CLASSES`.
        generated: The same of generated images, by asked class.
    """
    classes = [attributes(domain, name) for name in CLASSES[domain]]
    kept = []
    for attribute in classes[0]:
        values = [one[attribute] for one in classes]
        same = np.array([[left == right for right in values] for left in values])
        if same.all():
            continue
        counts = (np.asarray(real), np.asarray(generated), np.ones(same.shape))
        shares = (float(matrix[same].sum() / matrix.sum()) for matrix in counts)
        kept.append(Kept(attribute, *shares))
    return sorted(kept, key=lambda one: one.lost, reverse=True)
