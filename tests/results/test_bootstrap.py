"""The paired bootstrap against references that share none of its shortcuts."""

import math
import random

import numpy as np
import pytest

from results.bootstrap import metric_value, paired_bootstrap

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
    return [1 / len(strata) if metric == "mean-per-class" else len(own) / total for own in strata]


@pytest.mark.parametrize("metric", METRICS)
def test_interval_is_that_of_resampling_image_by_image(metric: str) -> None:
    differences, labels = unequal_classes()
    strata = by_class(differences, labels)
    shares = weights(strata, metric)
    generator = random.Random(0)
    draws = sorted(
        sum(
            share * math.fsum(generator.choices(own, k=len(own))) / len(own)
            for share, own in zip(shares, strata, strict=True)
        )
        for _ in range(4_000)
    )
    found = paired_bootstrap(differences, labels, metric)
    spread = draws[3_899] - draws[99]
    assert found.low == pytest.approx(draws[99], abs=0.06 * spread)
    assert found.high == pytest.approx(draws[3_899], abs=0.06 * spread)


@pytest.mark.parametrize("metric", METRICS)
def test_value_and_width_are_the_textbook_ones(metric: str) -> None:
    differences, labels = unequal_classes()
    strata = by_class(differences, labels)
    mean, variance = 0.0, 0.0
    for share, own in zip(weights(strata, metric), strata, strict=True):
        centre = math.fsum(own) / len(own)
        mean += share * centre
        variance += share**2 * math.fsum((x - centre) ** 2 for x in own) / len(own) ** 2
    found = paired_bootstrap(differences, labels, metric)
    assert found.value == pytest.approx(mean, abs=1e-12)
    assert found.value == metric_value(differences, labels, metric)
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.06)


def test_same_seed_same_answer() -> None:
    differences, labels = unequal_classes()
    assert paired_bootstrap(differences, labels, "accuracy", seed=5) == paired_bootstrap(
        differences, labels, "accuracy", seed=5
    )


def test_p_agrees_with_the_interval() -> None:
    labels = np.zeros(400, dtype=np.int64)
    even = np.tile([1.0, -1.0], 200)
    assert paired_bootstrap(even, labels, "accuracy").p > 0.5
    better = np.tile([1.0, 0.0], 200)
    assert paired_bootstrap(better, labels, "accuracy").p == pytest.approx(2 / 2_001)
    assert paired_bootstrap(np.zeros(400), labels, "accuracy").p == 1
