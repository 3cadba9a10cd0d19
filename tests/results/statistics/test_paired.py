"""Intervals, p-values and corrections against references that share none of their shortcuts."""

import math
import random

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp, ttest_ind

from results.statistics.paired import Estimate, compare, holm, mcnemar, metric_value

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


def of_images(differences: np.ndarray, labels: np.ndarray, metric: str = "accuracy") -> Estimate:
    """Return the estimate of one run of either arm, which differ as given."""
    estimate = compare(differences[:, None], np.zeros((len(labels), 1)), labels, metric)
    assert not estimate.over_seeds
    return estimate


@pytest.mark.parametrize("metric", METRICS)
def test_interval_over_images_is_that_of_resampling_them_one_by_one(metric: str) -> None:
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
    estimate = of_images(differences, labels, metric)
    spread = resamples[3_899] - resamples[99]
    assert estimate.low == pytest.approx(resamples[99], abs=0.06 * spread)
    assert estimate.high == pytest.approx(resamples[3_899], abs=0.06 * spread)


@pytest.mark.parametrize("metric", METRICS)
def test_value_and_width_over_images_are_the_textbook_ones(metric: str) -> None:
    differences, labels = unequal_classes()
    strata = by_class(differences, labels)
    mean, variance = 0.0, 0.0
    for share, values in zip(weights(strata, metric), strata, strict=True):
        centre = math.fsum(values) / len(values)
        mean += share * centre
        squares = math.fsum((x - centre) ** 2 for x in values)
        variance += share**2 * squares / len(values) / (len(values) - 1)
    estimate = of_images(differences, labels, metric)
    assert estimate.value == pytest.approx(mean, abs=1e-12)
    assert estimate.value == pytest.approx(metric_value(differences, labels, metric))
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.01)


def test_p_agrees_with_the_interval() -> None:
    labels = np.zeros(400, dtype=np.int64)
    assert of_images(np.tile([1.0, -1.0], 200), labels).p == 1
    assert of_images(np.tile([1.0, 0.0], 200), labels).p < 1e-20
    for extra in range(1, 40):
        ahead = np.repeat([1.0, -1.0, 0.0], [100 + extra, 100, 200 - extra])
        estimate = of_images(ahead, labels)
        assert (estimate.p < 0.05) == (estimate.low > 0)


def test_what_always_happened_is_no_certainty() -> None:
    labels = np.arange(5)
    for metric in METRICS:  # One image a class.
        estimate = of_images(np.ones(5), labels, metric)
        assert estimate.low < 1 < estimate.high
        assert 0 < estimate.p < 0.05
    assert of_images(np.zeros(5), labels) == Estimate(0.0, 0.0, 0.0, 1.0, over_seeds=False)


IMAGES = 40_000
"""So many that they leave nearly no doubt, and seeds all of it."""


def runs(scores: list[float]) -> np.ndarray:
    """Return runs of which each is in its share of trials right about every image."""
    return np.tile(scores, (IMAGES, 1))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("right", [[0.5, 0.55, 0.63], [0.5, 0.51, 0.5, 0.58, 0.55]])
def test_over_seeds_it_is_welchs_test(metric: str, right: list[float]) -> None:
    left, labels = [0.58, 0.66, 0.6], np.arange(IMAGES) % 3
    welch = ttest_ind(left, right, equal_var=False)
    estimate = compare(runs(left), runs(right), labels, metric)
    assert estimate.over_seeds
    assert estimate.value == pytest.approx(np.mean(left) - np.mean(right))
    assert estimate.p == pytest.approx(welch.pvalue, rel=0.01)
    ends = welch.confidence_interval()
    assert (estimate.low, estimate.high) == pytest.approx((ends.low, ends.high), abs=5e-4)


def test_against_the_unadapted_model_it_is_students_test_of_one_sample() -> None:
    scores, labels = [0.58, 0.66, 0.6], np.zeros(IMAGES, dtype=np.int64)
    student = ttest_1samp(scores, 0.5)
    there = compare(runs(scores), runs([0.5]), labels, "accuracy", seeded=(True, False))
    back = compare(runs([0.5]), runs(scores), labels, "accuracy", seeded=(False, True))
    assert there.over_seeds
    assert back.over_seeds
    assert there.p == pytest.approx(student.pvalue, rel=0.01)
    assert (there.value, there.p) == pytest.approx((-back.value, back.p))


@pytest.mark.parametrize("seeds", [(3, 3), (3, 5), (4, 1), (2, 2), (1, 1)])
def test_seeds_that_agree_leave_the_doubt_of_the_images(seeds: tuple[int, int]) -> None:
    """As where validation kept the unadapted model at every seed of an arm."""
    generator = np.random.default_rng(0)
    left, right = (generator.random((400, 1)) < share for share in (0.7, 0.6))
    labels = np.arange(400) % 4
    many = compare(
        np.tile(left, seeds[0]).astype(float), np.tile(right, seeds[1]).astype(float), labels,
        "accuracy",
    )  # fmt: skip
    alone = of_images(left[:, 0].astype(float) - right[:, 0], labels)
    assert many.over_seeds == (min(seeds) >= 3)
    assert (many.low, many.high, many.p) == pytest.approx((alone.low, alone.high, alone.p))


CROSSED = np.array([(of_run, of_source) for of_run in range(3) for of_source in range(4)])


def test_runs_that_share_seeds_are_no_independent_ones() -> None:
    """Four samples of images, each learnt from at three seeds: the means of either kind count."""
    generator = np.random.default_rng(1)
    scores = 0.5 + 0.05 * generator.normal(size=(3, 4)) + 0.1 * generator.normal(size=4)
    right = [0.4, 0.45, 0.5, 0.41]
    parts = [
        (np.var(means, ddof=1) / len(means), len(means) - 1)
        for means in (scores.mean(axis=0), scores.mean(axis=1), right)
    ]
    error = math.sqrt(sum(part for part, _ in parts))
    freedom = error**4 / sum(part**2 / degrees for part, degrees in parts)
    labels, alone = np.arange(IMAGES) % 3, np.arange(4)[:, None]
    estimate = compare(
        runs(list(scores.ravel())), runs(right), labels, "accuracy", seeds=(CROSSED, alone)
    )
    value = scores.mean() - np.mean(right)
    assert estimate.over_seeds
    assert estimate.p == pytest.approx(2 * t.sf(abs(value) / error, freedom), rel=0.01)
    naive = compare(runs(list(scores.ravel())), runs(right), labels, "accuracy")
    assert estimate.high - estimate.low > naive.high - naive.low


RUN = np.arange(6)


@pytest.mark.parametrize(
    ("kinds", "tested"),
    [
        ((RUN // 2, RUN % 2), False),
        ((RUN % 3, 9 - RUN % 3), True),  # In step: one kind of three.
        ((RUN, 0 * RUN), True),
        ((0 * RUN, 0 * RUN), False),
    ],
)
def test_a_test_takes_three_seeds_of_each_kind_that_varies(
    kinds: tuple[np.ndarray, np.ndarray], tested: bool
) -> None:
    labels = np.zeros(400, dtype=np.int64)
    seeds = (np.column_stack(kinds), RUN[:, None])
    estimate = compare(np.ones((400, 6)), np.zeros((400, 6)), labels, "accuracy", seeds=seeds)
    assert estimate.over_seeds == tested


def test_equal_arms_of_crossed_seeds_are_seldom_told_apart() -> None:
    """As independent runs, they would be in a quarter of the studies."""
    generator = np.random.default_rng(0)
    labels, kinds = np.arange(60) % 3, CROSSED
    winners = 0
    for _ in range(400):
        arms = [
            0.5
            + 0.03 * generator.normal(size=3)[kinds[:, 0]]
            + 0.03 * generator.normal(size=4)[kinds[:, 1]]
            + 0.01 * generator.normal(size=12)
            for _ in range(2)
        ]
        left, right = (np.tile(scores, (60, 1)) for scores in arms)
        winners += compare(left, right, labels, "accuracy", seeds=(kinds, kinds)).p < 0.05
    assert winners <= 0.07 * 400


def test_equal_arms_differ_by_nothing_however_their_runs_add_up() -> None:
    left = np.array([[1.0, 1.0, 0.0]] * 200)
    estimate = compare(left, left[:, ::-1], np.zeros(200, dtype=np.int64), "accuracy")
    assert estimate.value == 0
    assert estimate.p == 1


def test_holm_by_hand() -> None:
    """Times 4, 3, 2 and 1 from the least on; the last would be less than the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.6]) == [1, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


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
