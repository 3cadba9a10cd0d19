"""The mixing figure."""

import numpy as np
import pytest

from bench.core.errors import RequestError
from bench.core.paths import Home
from tests.support.drawing import drawn, lines
from tests.support.layout import problems, words
from tests.support.records import score, write_curves, write_run


def write_mixture(home: Home, n: int, share: float, right: int) -> None:
    # Shares need not add up to one.
    parts = {"retrieved": 4 * share, "synthetic": 4 - 4 * share}
    write_run(home, "mixed", n, right=right, options={"parts": parts})


def test_a_line_goes_from_one_pure_arm_to_the_other(home: Home) -> None:
    write_curves(home, retrieved={100: 120, 400: 140}, synthetic={100: 100, 400: 110})
    write_run(home, "none", None, right=90)
    for share, right in ((0.25, 130), (0.75, 150)):
        write_mixture(home, 400, share, right)
    shown = drawn(home, "mixing")
    (panel,) = shown.figure.axes
    (points,) = (points for _, points in lines(panel) if len(points) == 4)
    expected = [[0, 55], [25, 65], [75, 75], [100, 70]]
    assert np.allclose(points, expected)
    text = words(shown.figure)
    assert "n = 400" in text
    assert "n = 100" not in text
    assert "unadapted" in text
    assert "share of retrieved images in a mixture with synthetic ones" in shown.caption
    assert not problems(shown.figure)


def test_lines_of_several_sizes_lie_side_by_side(home: Home) -> None:
    for n in (100, 400, 1_600):
        for share in (0.25, 0.5, 0.75):
            write_mixture(home, n, share, 120)
    shown = drawn(home, "mixing")
    (panel,) = shown.figure.axes
    at = [points[0, 0] for _, points in lines(panel)]
    assert at == [23.5, 25.0, 26.5]
    assert not problems(shown.figure)


def test_a_mixture_by_another_recipe_has_a_line_of_its_own(home: Home) -> None:
    for pool in ("one", "two"):
        for share in (0.25, 0.75):
            parts = {"retrieved": share, "synthetic": 1 - share}
            options = {"parts": parts, "options": {"retrieved": {"pool": pool}}}
            write_run(home, "mixed", 400, options=options)
    text = words(drawn(home, "mixing").figure)
    assert "one" in text
    assert "two" in text


def test_an_end_is_of_the_images_that_the_mixtures_are_made_of(home: Home) -> None:
    for pool, right in (("one", 180), ("two", 110)):
        write_run(home, "retrieved", 400, right=right, options={"pool": pool})
    write_run(home, "synthetic", 400, right=90, options={"generation": {"model": "other"}})
    for share in (0.25, 0.75):
        parts = {"retrieved": share, "synthetic": 1 - share}
        inner = {"retrieved": {"pool": "two"}, "synthetic": {"generation": {"model": "own"}}}
        write_run(home, "mixed", 400, right=100, options={"parts": parts, "options": inner})
    shown = drawn(home, "mixing")
    (panel,) = shown.figure.axes
    (points,) = (points for _, points in lines(panel) if len(points) == 3)
    assert np.allclose(points, [[25, 50], [75, 50], [100, 55]])
    assert (
        "retrieved one and synthetic are left out: no mixture is made and selected" in shown.caption
    )
    assert "Models were selected by linear-probe on validation data." in shown.caption


def test_no_mixture_is_nothing_to_draw(home: Home) -> None:
    write_run(home, "retrieved", 100, scores=[score("test", 0.5)])
    with pytest.raises(RequestError, match="no runs with a mixture of two sources"):
        drawn(home, "mixing")
