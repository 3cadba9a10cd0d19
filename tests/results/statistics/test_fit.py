"""Saturating curves, against scipy's fit and against exact curves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from results.statistics.equivalence import Answers
from results.statistics.fit import fitted, saturating

SIZES = np.array([100.0, 320.0, 1_000.0, 3_200.0, 10_000.0])


def curve(n: NDArray[np.float64], a: float, b: float, c: float) -> NDArray[np.float64]:
    return a - b * n**-c


def answers(scores: dict[int, list[float]], images: int = 400) -> Answers:
    """Let each run be right on a random share of the images."""
    random = np.random.default_rng(0)
    runs = [(n, seed, share) for n, all_ in scores.items() for seed, share in enumerate(all_)]
    return Answers(
        correct=np.stack([random.random(images) < share for *_, share in runs], 1).astype(float),
        labels=np.arange(images) % 4,
        arm=np.array(["a"] * len(runs)),
        n=np.array([n for n, *_ in runs]),
        seed=np.array([seed for _, seed, _ in runs]),
        metric="accuracy",
    )


@given(
    limit=st.floats(0.3, 0.95),
    share=st.floats(0.1, 0.9),
    rate=st.floats(0.1, 1.5),
    noise=st.lists(st.floats(-0.003, 0.003), min_size=5, max_size=5),
)
def test_it_fits_no_worse_than_scipy(
    limit: float, share: float, rate: float, noise: list[float]
) -> None:
    scores = curve(SIZES, limit, share * limit * SIZES[0] ** rate, rate) + noise
    found = saturating(SIZES, scores[None])
    ours = float(((found.at(SIZES)[0] - scores) ** 2).sum())
    start = (scores.max(), float(np.ptp(scores)) * SIZES[0] ** rate, rate)
    bounds = ([0.0, -np.inf, 0.02], [1.0, np.inf, 4.0])
    best, _ = curve_fit(curve, SIZES, scores, start, bounds=bounds, maxfev=20_000)
    theirs = float(((curve(SIZES, *best) - scores) ** 2).sum())
    # The grid of rates costs no more than this: a fiftieth of a point.
    assert np.sqrt(ours / 5) <= np.sqrt(theirs / 5) + 2e-4


def test_an_exact_curve_is_found_and_goes_on() -> None:
    found = saturating(SIZES, curve(SIZES, 0.9, 2.0, 0.5)[None])
    assert found.limit[0] == pytest.approx(0.9, abs=2e-3)
    far = np.array([1e6])
    assert found.at(far)[0, 0] == pytest.approx(curve(far, 0.9, 2.0, 0.5)[0], abs=2e-3)


@pytest.mark.parametrize(
    "scores",
    [
        pytest.param([0.5, 0.5, 0.5, 0.5, 0.5], id="flat"),
        pytest.param([0.5, 0.6, 0.7, 0.8, 0.9], id="straight in log n"),
        pytest.param([0.9, 0.8, 0.7, 0.65, 0.6], id="falling"),
        pytest.param([1.0, 1.0, 1.0, 1.0, 1.0], id="perfect"),
        pytest.param([0.1, 0.1, 0.1, 0.1, 0.99], id="late"),
    ],
)
def test_a_limit_is_a_score(scores: list[float]) -> None:
    found = saturating(SIZES, np.array([scores]))
    assert 0 <= found.limit[0] <= 1
    assert np.isfinite(found.at(SIZES)).all()
    assert np.abs(found.at(SIZES)[0] - scores).max() < 0.5


def test_two_sizes_make_no_curve() -> None:
    assert fitted(answers({100: [0.5], 1_000: [0.6]}), "a", 10_000) is None
    assert fitted(answers({100: [0.5], 1_000: [0.6], 2_000: [0.7]}), "a", 20_000) is not None


def test_the_interval_holds_the_curve_and_seeds_widen_it() -> None:
    alike = {100: [0.5] * 3, 1_000: [0.6] * 3, 10_000: [0.65] * 3}
    apart = {100: [0.4, 0.5, 0.6], 1_000: [0.5, 0.6, 0.7], 10_000: [0.55, 0.65, 0.75]}
    one = {n: shares[:1] for n, shares in alike.items()}
    fits = [fitted(answers(scores, 4_000), "a", 100_000) for scores in (alike, apart, one)]
    narrow, wide, single = (fit for fit in fits if fit is not None)
    for fit in (narrow, wide, single):
        assert (fit.low <= fit.score).all()
        assert (fit.score <= fit.high).all()
        assert fit.limit_low <= fit.limit <= fit.limit_high
    assert ((wide.high - wide.low) > 2 * (narrow.high - narrow.low))[:40].all()
    assert (narrow.over_seeds, single.over_seeds) == (True, False)


def test_the_prediction_interval_covers_one_more_run_nineteen_times_in_twenty() -> None:
    """Runs of a known curve, whose seeds spread by two points; the last size is left out."""
    random = np.random.default_rng(1)
    covered, trials = 0, 40
    for _ in range(trials):
        true = curve(np.array([100.0, 1_000.0, 10_000.0, 100_000.0]), 0.8, 2.0, 0.4)
        seeds = true + random.normal(0, 0.02, (4, 4))
        tried = {int(n): list(seeds[:, i]) for i, n in enumerate((100, 1_000, 10_000))}
        fit = fitted(answers(tried, 400), "a", 100_000)
        assert fit is not None
        # One more run, on other test images.
        more = random.binomial(400, seeds[0, 3]) / 400
        covered += bool(fit.low[-1] <= more <= fit.high[-1])
    assert covered >= 35


def test_many_seeds_tell_the_mean_but_not_one_more_run() -> None:
    spread = np.linspace(-0.1, 0.1, 10)
    tried = {n: list(mean + spread) for n, mean in ((100, 0.5), (1_000, 0.6), (10_000, 0.65))}
    fit = fitted(answers(tried, 2_000), "a", 100_000)
    assert fit is not None
    middle = len(fit.n) // 3
    # Of runs 0.06 apart, the mean of ten would be known to 0.08 in all.
    assert fit.high[middle] - fit.low[middle] > 0.17
