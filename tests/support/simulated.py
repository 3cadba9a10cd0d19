"""Studies whose truth is known: simulated answers of two arms to the same test images."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

IMAGES, CLASSES = 800, 8
LABELS: NDArray[np.int64] = np.arange(IMAGES) % CLASSES

# Shares of the variance of how well an image is recognised: by what the image is, by what an arm
# makes of it, and by chance in each run. With them two seeds of an arm agree as two seeds of the
# study in docs/miniworld/study.md do (correlation of their answers 0.58), and so do the means over
# three seeds of two arms (0.6).
IMAGE, ARM, RUN = 0.63, 0.17, 0.20

ACCURACY = 0.72
"""About that of the miniature world's unadapted model."""

Answers = NDArray[np.float64]
"""1 where a run was right about an image, else 0: ``[images, runs]``."""


class Truth(NamedTuple):
    """What is so in a simulated study.

    Attributes:
        seeds: Runs of each arm; no run stands for the unadapted model, which has but one.
        spread: Standard deviation of each arm's accuracy over seeds, in points.
        gap: What the first arm is better by, in points.
        kept: Chance that validation keeps the unadapted model, at each seed.
    """

    seeds: tuple[int, int] = (3, 3)
    spread: tuple[float, float] = (0.0, 0.0)
    gap: float = 0.0
    kept: float = 0.0


def simulate(truth: Truth, random: np.random.Generator) -> tuple[Answers, Answers]:
    """Return both arms' answers in one study: a probit model with crossed effects."""
    image = random.normal(scale=IMAGE**0.5, size=(IMAGES, 1))
    unadapted = _answers(image, np.array([ACCURACY]), random)
    left, right = (
        _arm(image, unadapted, runs, ACCURACY + sign * truth.gap / 200, spread, truth.kept, random)
        for runs, spread, sign in zip(truth.seeds, truth.spread, (1, -1), strict=True)
    )
    return left, right


def _arm(
    image: Answers,
    unadapted: Answers,
    runs: int,
    accuracy: float,
    spread: float,
    kept: float,
    random: np.random.Generator,
) -> Answers:
    by_seed = (accuracy + spread / 100 * random.normal(size=max(runs, 1))).clip(0.01, 0.99)
    adapted = _answers(image, by_seed, random)
    return np.where(random.random(len(by_seed)) < kept, unadapted, adapted)


def _answers(image: Answers, accuracies: Answers, random: np.random.Generator) -> Answers:
    arm = random.normal(scale=ARM**0.5, size=(IMAGES, 1))
    chance = random.normal(scale=RUN**0.5, size=(IMAGES, len(accuracies)))
    recognised: NDArray[np.bool_] = ndtri(accuracies) + image + arm + chance > 0
    return recognised.astype(np.float64)
