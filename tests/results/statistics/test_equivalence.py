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

from results.statistics.equivalence import Answers, Equivalence, equivalence

CLASSES, PER_CLASS = 4, 50
Runs = dict[tuple[str, int, int], float]
UNADAPTED: Runs = {("none", 0, 0): 0.2}


def answers(runs: Runs, metric: str = "accuracy") -> Answers:
    """Let each run (arm, n, seed) be right on the first images of every class, up to its score."""
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    place = np.tile(np.arange(PER_CLASS), CLASSES)
    arms, sizes, seeds = (np.array(values) for values in zip(*runs, strict=True))
    right = np.array([round(share * PER_CLASS) for share in runs.values()])
    correct = (place[:, None] < right).astype(np.float64)
    return Answers(correct, labels, arms, sizes, seeds, metric)


def curve(arm: str, scores: dict[int, float], seeds: int = 1) -> Runs:
    return {(arm, n, seed): score for n, score in scores.items() for seed in range(seeds)}


def near(value: float, sign: str = "") -> Any:
    """Return what equals a ratio or a bound up to rounding."""
    return pytest.approx(value), sign


def ratio(a: dict[int, float], b: dict[int, float], others: Runs = UNADAPTED) -> Equivalence:
    found = equivalence(answers(others | curve("a", a) | curve("b", b)), "a", "b")
    assert found is not None
    return found


# ---------------------------------------------------------------- by hand


def test_a_ratio_of_exactly_four() -> None:
    found = ratio({50: 0.4, 100: 0.5, 200: 0.6}, {100: 0.3, 400: 0.5})
    assert found.ratio == near(4)
    assert (found.n_a, found.n_b) == pytest.approx((100, 400))
    assert (found.score, found.unadapted) == pytest.approx((0.5, 0.2))
    assert found.seeds == (1, 1)


def test_between_two_sizes_the_curve_is_linear_in_log_n() -> None:
    found = ratio({100: 0.4, 400: 0.6}, {100: 0.3, 1_600: 0.5})
    assert found.n_a == pytest.approx(200)
    assert found.ratio == near(8)


@pytest.mark.parametrize(
    ("scores", "n_a"),
    [({100: 0.4, 200: 0.5, 400: 0.3}, 200), ({100: 0.4, 200: 0.3, 800: 0.6}, 400)],
)
def test_what_fewer_images_reached_counts_for_more(scores: dict[int, float], n_a: int) -> None:
    found = ratio(scores, {100: 0.3, 1_600: 0.5})
    assert found.ratio == near(1_600 / n_a)


def test_the_score_to_reach_is_bs_best_mean_over_seeds() -> None:
    scores = {("b", 100, 0): 0.3, ("b", 100, 1): 0.4, ("b", 400, 0): 0.4, ("b", 400, 1): 0.6}
    runs = UNADAPTED | curve("a", {50: 0.4, 100: 0.5, 200: 0.6}, seeds=2) | scores
    found = equivalence(answers(runs), "a", "b")
    assert found is not None
    assert found.ratio == near(4)
    assert found.seeds == (2, 2)


def test_more_images_of_b_that_did_no_better_are_not_counted() -> None:
    found = ratio({50: 0.4, 100: 0.5, 200: 0.6}, {100: 0.3, 400: 0.5, 800: 0.5, 1_600: 0.48})
    assert found.ratio == near(4)
    assert found.n_b == 400
    assert found.score == pytest.approx(0.5)


@pytest.mark.parametrize("scores", [{50: 0.4, 100: 0.5}, {50: 0.4, 100: 0.5, 200: 0.5, 400: 0.48}])
def test_equal_curves_are_worth_the_same(scores: dict[int, float]) -> None:
    assert ratio(scores, scores).ratio == near(1)


# ---------------------------------------------------------------- what the sizes cannot tell


def test_reached_at_the_smallest_n_is_a_lower_bound() -> None:
    found = ratio({100: 0.8, 200: 0.9}, {100: 0.3, 1_600: 0.5})
    bound = near(16, ">=")
    assert (found.ratio, found.low, found.high) == (bound, bound, bound)
    assert found.n_a == pytest.approx(100)


def test_never_reached_is_an_upper_bound() -> None:
    found = ratio({100: 0.3, 200: 0.4}, {100: 0.3, 400: 0.9})
    bound = near(2, "<")
    assert (found.ratio, found.low, found.high) == (bound, bound, bound)


def test_an_interval_ends_at_the_bounds_with_a_mark() -> None:
    # The two seeds of b agree with one end of a's curve each.
    runs = UNADAPTED | curve("a", {100: 0.3, 400: 0.7}, seeds=2)
    runs |= {("b", 100, 0): 0.2, ("b", 100, 1): 0.2, ("b", 400, 0): 0.22, ("b", 400, 1): 0.8}
    found = equivalence(answers(runs), "a", "b")
    assert found is not None
    assert found.ratio is not None
    assert found.ratio.sign == ""
    assert (found.low, found.high) == (near(1, "<"), near(4, ">="))


def test_images_that_bought_nothing_have_no_ratio() -> None:
    # A sum of three equal scores by three need not be the score again, to the last bit.
    others = {("none", 0, 0): 0.46}
    runs = others | curve("a", {100: 0.5, 200: 0.6}, 3) | curve("b", {100: 0.4, 400: 0.46}, 3)
    found = equivalence(answers(runs), "a", "b")
    assert found is not None
    assert (found.ratio, found.low, found.high, found.without) == (None, None, None, 1.0)


def test_no_ratio_where_most_draws_have_none() -> None:
    # One more image than the unadapted model, with one seed of three.
    runs = {("none", 0, 0): 0.46} | curve("a", {100: 0.5, 200: 0.6}, 3)
    data = answers(runs | curve("b", {100: 0.46, 400: 0.46}, 3))
    better = (data.arm == "b") & (data.n == 400) & (data.seed == 0)
    data.correct[PER_CLASS - 1, better] = 1
    found = equivalence(data, "a", "b")
    assert found is not None
    assert found.score > found.unadapted
    assert (found.ratio, found.low, found.high) == (None, None, None)
    drawn = (1 - (2 / 3) ** 3) * (1 - (1 - 1 / PER_CLASS) ** PER_CLASS)
    assert found.without == pytest.approx(1 - drawn, abs=0.05)


def test_a_draw_that_bought_nothing_needs_no_image_of_a() -> None:
    # Only one seed of three of b is better than the unadapted model; a has reached no such score.
    runs = {("none", 0, 0): 0.46} | curve("a", {100: 0.2, 200: 0.3}, 3)
    runs |= curve("b", {100: 0.46, 400: 0.46}, 3) | {("b", 400, 0): 0.9}
    found = equivalence(answers(runs), "a", "b")
    assert found is not None
    assert found.without == pytest.approx((2 / 3) ** 3, abs=0.05)
    assert (found.ratio, found.low) == (near(2, "<"), near(2, "<"))
    assert found.high == near(4, ">=")


def test_without_the_unadapted_model_every_score_has_a_ratio() -> None:
    found = ratio({50: 0.0, 100: 0.1, 200: 0.2}, {100: 0.0, 400: 0.1}, others={})
    assert found.ratio == near(4)
    assert (found.unadapted, found.without) == (-math.inf, 0)


def test_a_point_is_no_curve() -> None:
    runs = UNADAPTED | curve("a", {100: 0.5}) | curve("b", {100: 0.3, 400: 0.5})
    assert equivalence(answers(runs), "a", "b") is None
    assert equivalence(answers(runs), "b", "a") is None


# ---------------------------------------------------------------- the interval


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


def slow_draw(data: Answers, generator: random.Random) -> float:
    """Resample image by image and seed by seed, and return the log ratio at its bounds."""
    seeds = generator.choices([0, 1, 2], k=3)
    classes = [[i for i, own in enumerate(data.labels) if own == label] for label in range(3)]
    drawn = [generator.choices(own, k=len(own)) for own in classes]

    def score(run: int) -> float:
        means = [math.fsum(data.correct[i, run] for i in own) / len(own) for own in drawn]
        shares = [len(own) / len(data.labels) for own in drawn]
        if data.metric == "mean-per-class":
            shares = [1 / 3] * 3
        return math.fsum(share * mean for share, mean in zip(shares, means, strict=True))

    def points(arm: str) -> list[tuple[int, float]]:
        runs = [run for run, own in enumerate(data.arm) if own == arm]
        cells = groupby(runs, key=lambda run: int(data.n[run]))
        found = []
        for n, own in cells:
            by_seed = {int(data.seed[run]): score(run) for run in own}
            found.append((n, math.fsum(by_seed[seed] for seed in seeds) / 3))
        return found

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
    draws = sorted(slow_draw(data, generator) for _ in range(1_000))
    found = equivalence(data, "a", "b")
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    spread = draws[974] - draws[25]
    assert spread > 0.3
    assert math.log(found.low.value) == pytest.approx(draws[25], abs=0.15 * spread)
    assert math.log(found.high.value) == pytest.approx(draws[974], abs=0.15 * spread)


def test_equal_curves_are_told_apart_no_more_often_than_by_chance() -> None:
    flat = [("none", 0, 0)] + [
        (arm, n, seed) for arm in "ab" for n in (80, 160, 320, 640, 1_280) for seed in range(3)
    ]
    arms, sizes, seeds = (np.array(values) for values in zip(*flat, strict=True))
    better = worse = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        shares = np.where(arms == "none", 0.2, generator.normal(0.5, 0.01, len(arms)))
        correct = (generator.random((200, len(arms))) < shares).astype(float)
        labels = np.repeat(np.arange(4), 50)
        data = Answers(correct, labels, arms, sizes, seeds, "accuracy")
        for a, b in ("ab", "ba"):
            found = equivalence(data, a, b)
            assert found is not None
            assert found.low is not None
            assert found.high is not None
            better += found.low.sign != "<" and found.low.value > 1
            worse += found.high.value < 1 or found.high == near(1, "<")
    assert max(better, worse) <= 0.05 * 80


def test_the_unadapted_models_seed_is_no_seed_of_the_arms() -> None:
    data = noisy("accuracy")
    other = dataclasses.replace(data, seed=np.where(data.arm == "none", 7, data.seed))
    assert equivalence(data, "a", "b") == equivalence(other, "a", "b")


def test_same_seed_same_answer() -> None:
    data = noisy("accuracy")
    assert equivalence(data, "a", "b", seed=5) == equivalence(data, "a", "b", seed=5)


# ---------------------------------------------------------------- properties

rising = st.lists(st.integers(12, 50), min_size=3, max_size=3, unique=True).map(sorted)
SIZES = (50, 100, 400)


def measured(a: list[int], b: list[int]) -> Answers:
    curves = [dict(zip(SIZES, (k / 50 for k in right), strict=True)) for right in (a, b)]
    return answers(UNADAPTED | curve("a", curves[0]) | curve("b", curves[1]))


@settings(max_examples=25, deadline=None)
@given(a=rising, b=rising, seed=st.integers(0, 2**32 - 1))
def test_the_order_of_images_within_a_class_is_nothing(
    a: list[int], b: list[int], seed: int
) -> None:
    data = measured(a, b)
    shuffled = np.random.default_rng(seed).permutation(len(data.labels))
    within = shuffled[np.argsort(data.labels[shuffled], kind="stable")]
    moved = dataclasses.replace(data, correct=data.correct[within])
    one, other = equivalence(data, "a", "b"), equivalence(moved, "a", "b")
    assert one is not None
    assert other is not None
    assert (one.ratio, one.n_a, one.score) == (other.ratio, other.n_a, other.score)


@settings(max_examples=50, deadline=None)
@given(a=rising, b=rising)
def test_whose_images_are_worth_more_does_not_depend_on_who_is_asked(
    a: list[int], b: list[int]
) -> None:
    data = measured(a, b)
    one, other = equivalence(data, "a", "b"), equivalence(data, "b", "a")
    assert one is not None
    assert one.ratio is not None
    assert other is not None
    assert other.ratio is not None
    if a[-1] > b[-1]:
        assert one.ratio.value > 1
        assert other.ratio == near(1, "<")
    elif a[-1] == b[-1]:
        assert one.ratio == other.ratio == near(1)
    else:
        assert one.ratio == near(1, "<")
        assert other.ratio.value > 1


@settings(max_examples=25, deadline=None)
@given(a=rising, b=rising)
def test_an_interval_lies_within_the_bounds_and_is_marked_only_there(
    a: list[int], b: list[int]
) -> None:
    found = equivalence(measured(a, b), "a", "b")
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert 1 - 1e-9 <= found.low.value <= found.high.value <= 8 + 1e-9
    for end in (found.low, found.high):
        if end.sign:
            assert end.value == pytest.approx({"<": 1, ">=": 8}[end.sign])
