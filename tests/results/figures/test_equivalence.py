"""The equivalence figure."""

import numpy as np
import pytest

from bench.core.errors import RequestError
from bench.core.paths import Home
from tests.support.drawing import drawn, lines
from tests.support.layout import problems, words
from tests.support.records import write_curves, write_run

PAPER = {
    "retrieved": {15_625: 120, 31_250: 140, 62_500: 160},
    "synthetic": {7_800: 100, 250_000: 120, 2_500_000: 140},
}


def test_the_papers_ratio_stands_at_the_best_synthetic_score(home: Home) -> None:
    """31.25k retrieved images do what 2.5M synthetic ones do (Geng 2024, section 4)."""
    write_run(home, "none", None, right=80)
    write_curves(home, **PAPER)
    shown = drawn(home, "equivalence")
    assert "80\N{MULTIPLICATION SIGN}" in words(shown.figure)
    assert "a data-equivalence ratio of 80 synthetic images to 1 retrieved one" in shown.caption
    (panel,) = shown.figure.axes
    assert any(np.allclose(points[-1], [70, 80]) for _, points in lines(panel))
    assert not problems(shown.figure)


def test_arms_may_be_exchanged(home: Home) -> None:
    write_run(home, "none", None, right=80)
    write_curves(home, **PAPER)
    shown = drawn(home, "equivalence", arms=("synthetic", "retrieved"))
    assert "retrieved per synthetic image" in words(shown.figure)
    # 62,500 retrieved images do more than any number of synthetic ones.
    assert "< 0.025\N{MULTIPLICATION SIGN}" in words(shown.figure)


def test_it_says_what_it_takes(home: Home) -> None:
    write_curves(home, retrieved={100: 120, 200: 130})
    with pytest.raises(RequestError, match="no runs with synthetic images"):
        drawn(home, "equivalence")
    write_curves(home, synthetic={100: 120, 200: 110})
    with pytest.raises(RequestError, match="no score that more synthetic images bought"):
        drawn(home, "equivalence")
