"""The bootstrap and McNemar's test against references that share none of their shortcuts."""

import math
import random

import numpy as np
import pytest

from results.statistics.paired import mcnemar, metric_value, paired_bootstrap

METRICS = ["accuracy", "mean-per-class"]


def unequal_classes(seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), [10, 40, 80, 30]).astype(np.int64)
    differences = generator.choice([-1.0, -0.5, 0.0, 0.5, 1.0], size=len(labels))
    return differences + 0.05 * labels, labels


def by_class(differences: np.ndarray, labels: np.ndarray) -> list[list[float]]:
    return [[float(x) for x in differences[labels == label]] for label in sorted(set(labels))]


def weights(strata: list[list[float]], metric: str) -> list[float]:
    total = sum(map(len, strata))
    return [1 / len(strata) if metric == "mean-per-class" else len(of) / total for of in strata]


@pytest.mark.parametrize("metric", METRICS)
def test_interval_is_that_of_resampling_image_by_image(metric: str) -> None:
    differences, labels = unequal_classes()
    strata = by_class(differences, labels)
    shares = weights(strata, metric)
    generator = random.Random(0)
    resamples = sorted(
        sum(
            share * math.fsum(generator.choices(values, k=len(values))) / len(values)
            for share, values in zip(shares, strata, strict=True)
        )
        for _ in range(4_000)
    )
    estimate = paired_bootstrap(differences, labels, metric)
    spread = resamples[3_899] - resamples[99]
    assert estimate.low == pytest.approx(resamples[99], abs=0.06 * spread)
    assert estimate.high == pytest.approx(resamples[3_899], abs=0.06 * spread)


@pytest.mark.parametrize("metric", METRICS)
def test_value_and_width_are_the_textbook_ones(metric: str) -> None:
    differences, labels = unequal_classes()
    strata = by_class(differences, labels)
    mean, variance = 0.0, 0.0
    for share, values in zip(weights(strata, metric), strata, strict=True):
        centre = math.fsum(values) / len(values)
        mean += share * centre
        variance += share**2 * math.fsum((x - centre) ** 2 for x in values) / len(values) ** 2
    estimate = paired_bootstrap(differences, labels, metric)
    assert estimate == paired_bootstrap(differences, labels, metric)
    assert estimate.value == pytest.approx(mean, abs=1e-12)
    assert estimate.value == metric_value(differences, labels, metric)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.06)


def test_p_agrees_with_the_interval() -> None:
    labels = np.zeros(400, dtype=np.int64)
    even = np.tile([1.0, -1.0], 200)
    assert paired_bootstrap(even, labels, "accuracy").p > 0.5
    better = np.tile([1.0, 0.0], 200)
    assert paired_bootstrap(better, labels, "accuracy").p == pytest.approx(2 / 2_001)
    assert paired_bootstrap(np.zeros(400), labels, "accuracy").p == 1


def answers(ahead: int, behind: int, both: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Return two runs' answers: so many images that one alone got right, and that both did."""
    left = np.repeat([1.0, 0.0, 1.0], [ahead, behind, both])
    right = np.repeat([0.0, 1.0, 1.0], [ahead, behind, both])
    return left, right


def test_mcnemar_by_hand() -> None:
    """Nine against one: 2 (1 + 10) / 1024; images that both know tell nothing."""
    assert mcnemar(*answers(9, 1)) == pytest.approx(22 / 1024)
    assert mcnemar(*answers(1, 9, both=500)) == mcnemar(*answers(9, 1))
    assert mcnemar(*answers(4, 4)) == mcnemar(*answers(0, 0)) == 1
    assert mcnemar(*answers(4_000, 1_000)) < 1e-300  # type: ignore[operator]


@pytest.mark.parametrize(
    ("left", "right"), [([0.5, 1.0], [0.0, 1.0]), ([0.5, 1.0, 0.5], [0.5, 0.0, 0.5])]
)
def test_averages_of_trials_have_no_mcnemar(left: list[float], right: list[float]) -> None:
    assert mcnemar(np.array(left), np.array(right)) is None
