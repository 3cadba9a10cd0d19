"""The data-equivalence ratio against cases by hand and a bootstrap without shortcuts."""

import dataclasses
import math
import random
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.statistics.equivalence import (
    Answers,
    Equivalence,
    Ratio,
    equivalence,
    exchange_rates,
)

CLASSES, PER_CLASS = 4, 50
Runs = dict[tuple[str, int, int], float]
UNADAPTED: Runs = {("none", 0, 0): 0.2}


def answers(runs: Runs) -> Answers:
    """Let each run (arm, n, seed) be right on the first images of every class, up to its score."""
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    place = np.tile(np.arange(PER_CLASS), CLASSES)
    right = np.array([round(share * PER_CLASS) for share in runs.values()])
    correct = (place[:, None] < right).astype(np.float64)
    arms, sizes, seeds = map(np.array, zip(*runs, strict=True))
    return Answers(correct, labels, arms, sizes, seeds, "accuracy")


def curve(arm: str, scores: dict[int, float], seeds: int = 1) -> Runs:
    return {(arm, n, seed): score for n, score in scores.items() for seed in range(seeds)}


def near(value: float, sign: str = "") -> Any:
    """Return what equals a ratio or a bound up to rounding."""
    return pytest.approx(value), sign


def worth(data: Answers | Runs, a: str = "a", b: str = "b", **options: int) -> Equivalence:
    result = equivalence(data if isinstance(data, Answers) else answers(data), a, b, **options)
    assert result is not None
    return result


def interval(result: Equivalence) -> tuple[Ratio, Ratio]:
    assert result.low is not None
    assert result.high is not None
    return result.low, result.high


def of_curves(a: dict[int, float], b: dict[int, float], others: Runs = UNADAPTED) -> Equivalence:
    return worth(others | curve("a", a) | curve("b", b))


FLAT = {50: 0.4, 100: 0.5, 200: 0.5, 400: 0.48}


@pytest.mark.parametrize(
    ("a", "b", "n_a", "n_b", "score"),
    [
        pytest.param({50: 0.4, 100: 0.5, 200: 0.6}, {100: 0.3, 400: 0.5}, 100, 400, 0.5, id="four"),
        pytest.param({100: 0.4, 400: 0.6}, {100: 0.3, 1_600: 0.5}, 200, 1_600, 0.5, id="log n"),
        pytest.param(
            {100: 0.4, 200: 0.5, 400: 0.3}, {100: 0.3, 1_600: 0.5}, 200, 1_600, 0.5,
            id="fewer images of a reached it, more did not",
        ),
        pytest.param(
            {100: 0.4, 200: 0.3, 800: 0.6}, {100: 0.3, 1_600: 0.5}, 400, 1_600, 0.5,
            id="a dip of a does not count",
        ),
        pytest.param(
            {50: 0.4, 100: 0.5, 200: 0.6}, {100: 0.3, 400: 0.5, 800: 0.5, 1_600: 0.48},
            100, 400, 0.5, id="more images of b that did no better do not count",
        ),
        pytest.param({50: 0.4, 100: 0.5}, {50: 0.4, 100: 0.5}, 100, 100, 0.5, id="equal"),
        pytest.param(FLAT, FLAT, 100, 100, 0.5, id="equal and flat"),
    ],
)  # fmt: skip
def test_a_ratio_by_hand(
    a: dict[int, float], b: dict[int, float], n_a: float, n_b: int, score: float
) -> None:
    result = of_curves(a, b)
    assert result.ratio == near(n_b / n_a)
    assert (result.n_a, result.n_b) == pytest.approx((n_a, n_b))
    assert (result.score, result.unadapted) == pytest.approx((score, 0.2))
    assert result.seeds == (1, 1)


def test_the_score_to_reach_is_bs_best_mean_over_seeds() -> None:
    scores = {("b", 100, 0): 0.3, ("b", 100, 1): 0.4, ("b", 400, 0): 0.4, ("b", 400, 1): 0.6}
    result = worth(UNADAPTED | curve("a", {50: 0.4, 100: 0.5, 200: 0.6}, seeds=2) | scores)
    assert result.ratio == near(4)
    assert result.seeds == (2, 2)


@pytest.mark.parametrize(
    ("a", "b", "bound"),
    [
        ({100: 0.8, 200: 0.9}, {100: 0.3, 1_600: 0.5}, near(16, ">=")),
        ({100: 0.3, 200: 0.4}, {100: 0.3, 400: 0.9}, near(2, "<")),
    ],
)
def test_reached_at_the_smallest_n_or_never_is_a_bound(
    a: dict[int, float], b: dict[int, float], bound: Any
) -> None:
    result = of_curves(a, b)
    assert (result.ratio, result.low, result.high) == (bound, bound, bound)


def test_an_interval_ends_at_the_bounds_with_a_mark() -> None:
    # The two seeds of b agree with one end of a's curve each.
    runs = UNADAPTED | curve("a", {100: 0.3, 400: 0.7}, seeds=2)
    runs |= {("b", 100, 0): 0.2, ("b", 100, 1): 0.2, ("b", 400, 0): 0.22, ("b", 400, 1): 0.8}
    result = worth(runs)
    assert result.ratio is not None
    assert result.ratio.sign == ""
    assert interval(result) == (near(1, "<"), near(4, ">="))


def test_images_without_a_gain_have_no_ratio() -> None:
    # A sum of three equal scores by three need not be the score again, to the last bit.
    runs = {("none", 0, 0): 0.46} | curve("a", {100: 0.5, 200: 0.6}, 3)
    result = worth(runs | curve("b", {100: 0.4, 400: 0.46}, 3))
    assert (result.ratio, result.low, result.high, result.without) == (None, None, None, 1.0)


def test_no_ratio_where_most_resamples_have_none() -> None:
    # One more image than the unadapted model, with one seed of three.
    runs = {("none", 0, 0): 0.46} | curve("a", {100: 0.5, 200: 0.6}, 3)
    data = answers(runs | curve("b", {100: 0.46, 400: 0.46}, 3))
    better = (data.arm == "b") & (data.n == 400) & (data.seed == 0)
    data.correct[PER_CLASS - 1, better] = 1
    result = worth(data)
    assert result.score > result.unadapted
    assert (result.ratio, result.low, result.high) == (None, None, None)
    resampled = (1 - (2 / 3) ** 3) * (1 - (1 - 1 / PER_CLASS) ** PER_CLASS)
    assert result.without == pytest.approx(1 - resampled, abs=0.05)


def test_a_resample_without_a_gain_needs_no_image_of_a() -> None:
    # Only one seed of three of b is better than the unadapted model; a has reached no such score.
    runs = {("none", 0, 0): 0.46} | curve("a", {100: 0.2, 200: 0.3}, 3)
    result = worth(runs | curve("b", {100: 0.46, 400: 0.46}, 3) | {("b", 400, 0): 0.9})
    assert result.without == pytest.approx((2 / 3) ** 3, abs=0.05)
    assert (result.ratio, result.low, result.high) == (near(2, "<"), near(2, "<"), near(4, ">="))


def test_without_the_unadapted_model_every_score_has_a_ratio() -> None:
    result = of_curves({50: 0.0, 100: 0.1, 200: 0.2}, {100: 0.0, 400: 0.1}, others={})
    assert result.ratio == near(4)
    assert (result.unadapted, result.without) == (-math.inf, 0)


def test_a_point_is_no_curve() -> None:
    data = answers(UNADAPTED | curve("a", {100: 0.5}) | curve("b", {100: 0.3, 400: 0.5}))
    assert equivalence(data, "a", "b") is None
    assert equivalence(data, "b", "a") is None


def noisy(metric: str) -> Answers:
    """Two arms whose curves cross the same scores, on classes of unequal sizes."""
    generator = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    cells = [("none", 0, 0, 0.3)] + [
        (arm, n, seed, share + 0.03 * seed)
        for arm, shares in (("a", (0.4, 0.55, 0.7)), ("b", (0.35, 0.45, 0.55)))
        for n, share in zip((10, 40, 160), shares, strict=True)
        for seed in range(3)
    ]
    hard = generator.random(len(labels))[:, None] * 0.7 + generator.random((100, len(cells))) * 0.3
    arms, sizes, seeds, shares = (np.array(values) for values in zip(*cells, strict=True))
    return Answers((hard < shares).astype(float), labels, arms, sizes, seeds, metric)


def slow_resample(data: Answers, generator: random.Random) -> float:
    """Resample image by image and seed by seed, and return the log ratio at its bounds."""
    seeds = generator.choices([0, 1, 2], k=3)
    classes = [np.flatnonzero(data.labels == label).tolist() for label in range(3)]
    images = [generator.choices(rows, k=len(rows)) for rows in classes]

    def score(run: int) -> float:
        means = [math.fsum(data.correct[i, run] for i in rows) / len(rows) for rows in images]
        shares = [len(rows) / len(data.labels) for rows in images]
        if data.metric == "mean-per-class":
            shares = [1 / 3] * 3
        return math.fsum(share * mean for share, mean in zip(shares, means, strict=True))

    def points(arm: str) -> list[tuple[int, float]]:
        means = []
        of_arm = np.flatnonzero(data.arm == arm).tolist()
        for n, runs in groupby(of_arm, key=lambda run: int(data.n[run])):
            by_seed = {int(data.seed[run]): score(run) for run in runs}
            means.append((n, math.fsum(by_seed[seed] for seed in seeds) / 3))
        return means

    path = points("a")
    n_b, target = max(points("b"), key=lambda point: point[1])
    for (n, low), (m, high) in zip([(path[0][0], -1.0), *path], path, strict=False):
        if high >= target:
            part = (target - low) / (high - low)
            return math.log(n_b) - math.log(n) - part * math.log(m / n)
    return math.log(n_b / path[-1][0])


@pytest.mark.parametrize("metric", ["accuracy", "mean-per-class"])
def test_interval_is_that_of_resampling_one_by_one(metric: str) -> None:
    data = noisy(metric)
    generator = random.Random(0)
    ratios = sorted(slow_resample(data, generator) for _ in range(1_000))
    low, high = interval(worth(data))
    spread = ratios[974] - ratios[25]
    assert spread > 0.3
    assert math.log(low.value) == pytest.approx(ratios[25], abs=0.15 * spread)
    assert math.log(high.value) == pytest.approx(ratios[974], abs=0.15 * spread)


def test_equal_curves_are_told_apart_no_more_often_than_by_chance() -> None:
    flat = [("none", 0, 0)] + [
        (arm, n, seed) for arm in "ab" for n in (80, 160, 320, 640, 1_280) for seed in range(3)
    ]
    arms, sizes, seeds = (np.array(values) for values in zip(*flat, strict=True))
    labels = np.repeat(np.arange(4), 50)
    better = worse = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        shares = np.where(arms == "none", 0.2, generator.normal(0.5, 0.01, len(arms)))
        correct = (generator.random((200, len(arms))) < shares).astype(float)
        data = Answers(correct, labels, arms, sizes, seeds, "accuracy")
        for a, b in ("ab", "ba"):
            low, high = interval(worth(data, a, b))
            better += low.sign != "<" and low.value > 1
            worse += high.value < 1 or high == near(1, "<")
    assert max(better, worse) <= 0.05 * 80


def test_the_unadapted_models_seed_is_no_seed_of_the_arms() -> None:
    data = noisy("accuracy")
    other = dataclasses.replace(data, seed=np.where(data.arm == "none", 7, data.seed))
    assert worth(data, seed=5) == worth(other, seed=5)


rising = st.lists(st.integers(12, 50), min_size=3, max_size=3, unique=True).map(sorted)
SIZES = (50, 100, 400)


def measured(a: list[int], b: list[int]) -> Answers:
    curves = [dict(zip(SIZES, (k / 50 for k in right), strict=True)) for right in (a, b)]
    return answers(UNADAPTED | curve("a", curves[0]) | curve("b", curves[1]))


@settings(max_examples=25, deadline=None)
@given(data=st.builds(measured, rising, rising), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_images_within_a_class_is_nothing(data: Answers, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(len(data.labels))
    within = shuffled[np.argsort(data.labels[shuffled], kind="stable")]
    one, other = worth(data), worth(dataclasses.replace(data, correct=data.correct[within]))
    assert (one.ratio, one.n_a, one.score) == (other.ratio, other.n_a, other.score)


@settings(max_examples=50, deadline=None)
@given(a=rising, b=rising)
def test_whose_images_are_worth_more_does_not_depend_on_who_is_asked(
    a: list[int], b: list[int]
) -> None:
    data = measured(a, b)
    best_first = [worth(data, "a", "b"), worth(data, "b", "a")]
    if a[-1] == b[-1]:
        assert [result.ratio for result in best_first] == [near(1)] * 2
        return
    better, worse = best_first if a[-1] > b[-1] else reversed(best_first)
    assert better.ratio is not None
    assert better.ratio.value > 1
    assert worse.ratio == near(1, "<")


@settings(max_examples=25, deadline=None)
@given(st.builds(measured, rising, rising))
def test_an_interval_lies_within_the_bounds_and_is_marked_only_there(data: Answers) -> None:
    low, high = interval(worth(data))
    assert 1 - 1e-9 <= low.value <= high.value <= 8 + 1e-9
    for end in (low, high):
        if end.sign:
            assert end.value == pytest.approx({"<": 1, ">=": 8}[end.sign])


def test_the_papers_eighty_is_the_rate_at_the_best_synthetic_score() -> None:
    retrieved = {15_625: 0.6, 31_250: 0.7, 62_500: 0.8}
    synthetic = {7_800: 0.4, 250_000: 0.6, 2_500_000: 0.7}
    runs = UNADAPTED | curve("retrieved", retrieved) | curve("synthetic", synthetic)
    rates = exchange_rates(answers(runs), "retrieved", "synthetic")
    assert rates[-1].ratio == near(80)
    assert [rate.score for rate in rates] == sorted(rate.score for rate in rates)
    assert rates[-1].score == pytest.approx(0.7)
    # What the fewest retrieved images already do is a bound.
    assert rates[0].ratio.sign == rates[0].high.sign == ">="
    of_score = {round(rate.score, 2): rate.ratio for rate in rates}
    assert of_score[0.6].value == pytest.approx(250_000 / 15_625, rel=0.1)


def test_what_a_never_reaches_bounds_the_rate_from_above() -> None:
    runs = UNADAPTED | curve("a", {100: 0.3, 400: 0.4}) | curve("b", {100: 0.3, 400: 0.8})
    rates = exchange_rates(answers(runs), "a", "b")
    assert rates[-1].ratio == near(1, "<")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param({100: 0.5}, {100: 0.4, 400: 0.5}, id="one size of a"),
        pytest.param({100: 0.5, 200: 0.6}, {400: 0.5}, id="one size of b"),
        pytest.param({100: 0.5, 200: 0.6}, {100: 0.5, 400: 0.4}, id="b falls"),
        pytest.param({100: 0.5, 200: 0.6}, {100: 0.1, 400: 0.2}, id="b below the unadapted model"),
    ],
)
def test_there_is_no_rate_where_b_bought_nothing(a: dict[int, float], b: dict[int, float]) -> None:
    assert not exchange_rates(answers(UNADAPTED | curve("a", a) | curve("b", b)), "a", "b")


def test_a_rates_interval_holds_it() -> None:
    random_ = np.random.default_rng(2)
    a, b = {100: 0.5, 200: 0.6, 400: 0.7}, {100: 0.4, 400: 0.5, 1_600: 0.6}
    data = answers(UNADAPTED | curve("a", a, 3) | curve("b", b, 3))
    flipped = np.where(random_.random(data.correct.shape) < 0.1, 1 - data.correct, data.correct)
    rates = exchange_rates(dataclasses.replace(data, correct=flipped), "a", "b")
    assert rates
    assert all(rate.low.value <= rate.ratio.value * 1.001 for rate in rates)
    assert all(rate.ratio.value <= rate.high.value * 1.001 for rate in rates)
