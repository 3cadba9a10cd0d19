"""Measure retrieval at every threshold, and whether a threshold is worth choosing."""

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.miniworld.truth import retrieval_curve
from bench.miniworld_checks.gates import Measurements
from bench.planning import preset
from bench.steps.collect import collect_images
from sources.pool.pool import MINIWORLD, Pool

TAUS = (-1.0, *(round(float(tau), 4) for tau in np.linspace(-0.1, 0.6, 60)))
"""The first keeps everything."""
LEAST_RECALL = 0.05
"""The curve ends where a threshold keeps less than this share of the unfiltered recall: beyond,
precision is that of a few dozen images."""
HALF = 0.5


def measure_retrieval(domain: str, home: Home, progress: Progress, clip: str) -> Measurements:
    """Retrieve for a domain without a threshold, and measure every threshold by the truth.

    Args:
        domain: One of `CLASSES`.
        home: Where images are kept and reused.
        progress: Where to report.
        clip: Name or path of the weights that score images.

    Returns:
        `tau`, the preset's; `curve`, rows as `retrieval_curve` gives them, without those that
        keep nothing; `bend` and `knee` as `bend_of` gives them; `gain` as `precision_gain` does.
    """
    settings = {"source.filter.tau": TAUS[0], "source.filter.model": clip}
    spec = preset.resolve("mini", task=domain, source="retrieved", n=None, settings=settings)
    index = collect_images(spec, home, progress).index()
    world = Pool.find(MINIWORLD, home).root
    curve = retrieval_curve(index, domain, world, TAUS).filter(pl.col("kept") > 0)
    bend, knee = bend_of(curve)
    return {
        "tau": preset.load("mini").sources["retrieved"]["filter"]["tau"],
        "bend": round(bend, 4),
        "knee": knee,
        "gain": round(precision_gain(curve), 4),
        "curve": curve.with_columns(pl.col(pl.Float64).round(4)).to_dicts(),
    }


def bend_of(curve: pl.DataFrame) -> tuple[float, float]:
    """Return how far the curve of class precision over recall bends away from a straight line.

    Both are scaled to run from 0 to 1. The bend is the largest distance of a point above the line
    through the curve's two ends; 0 for a straight or sagging curve.

    Args:
        curve: Rows of `retrieval_curve`, the unfiltered set first.

    Returns:
        The bend, and the tau of its point.
    """
    curve = curve.filter(pl.col("recall") >= LEAST_RECALL * curve["recall"][0])
    x, y = (_scaled(curve[column].to_numpy()) for column in ("recall", "class_precision"))
    across, up = x[0] - x[-1], y[0] - y[-1]
    length = math.hypot(across, up)
    if not length:
        return 0.0, float(curve["tau"][0])
    above = (across * (y - y[-1]) - up * (x - x[-1])) / length
    place = int(above.argmax())
    return float(above[place]), float(curve["tau"][place])


def precision_gain(curve: pl.DataFrame) -> float:
    """Return how much class precision a threshold adds while half of the recall stays.

    Args:
        curve: Rows of `retrieval_curve`, the unfiltered set first.
    """
    affordable = curve.filter(pl.col("recall") >= HALF * curve["recall"][0])
    best = affordable["class_precision"].to_numpy().max()
    return float(best - curve["class_precision"][0])


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values moved and stretched to run from 0 to 1; zeros where all are equal."""
    span = np.ptp(values)
    return (values - values.min()) / span if span else np.zeros_like(values)
