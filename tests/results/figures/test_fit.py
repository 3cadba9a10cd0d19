"""The fit figure."""

import pytest

from bench.core.errors import RequestError
from bench.core.paths import Home
from results.drawing.look import STYLES
from tests.support.drawing import drawn, lines
from tests.support.layout import problems, words
from tests.support.records import write_curves


def test_a_curve_is_dashed_beyond_its_arms_largest_size(home: Home) -> None:
    write_curves(home, retrieved={100: 100, 1_000: 140, 10_000: 150}, synthetic={100: 90, 400: 95})
    shown = drawn(home, "fit")
    (panel,) = shown.figure.axes
    whole, dashed = (
        points
        for line, points in lines(panel)
        if line.get_color() == STYLES["retrieved"].colour and len(points) > 10
    )
    assert whole[0, 0] == pytest.approx(100)
    assert whole[-1, 0] <= 10_000 < dashed[1, 0]
    assert dashed[-1, 0] == pytest.approx(100_000)
    assert (whole[-1] == dashed[0]).all()
    assert "extrapolated" in words(shown.figure)
    assert "an extrapolation that supposes that the same curve goes on" in shown.caption
    assert not problems(shown.figure)


def test_an_arm_of_two_sizes_is_left_out_and_that_is_said(home: Home) -> None:
    write_curves(home, retrieved={100: 100, 1_000: 140, 9_000: 150}, synthetic={100: 90, 400: 95})
    shown = drawn(home, "fit")
    assert "synthetic" not in words(shown.figure)
    assert "No curve for synthetic: fewer than 3 sizes." in shown.caption


def test_two_sizes_are_too_few(home: Home) -> None:
    write_curves(home, retrieved={100: 100, 1_000: 140})
    with pytest.raises(RequestError, match="cannot be fitted to fewer; run more sizes of n"):
        drawn(home, "fit")


def test_a_limit_at_the_top_is_called_a_bound(home: Home) -> None:
    write_curves(home, retrieved={100: 100, 1_000: 140, 10_000: 180})
    assert "100.0 is where a score must end" in drawn(home, "fit").caption


@pytest.mark.parametrize(
    ("right", "end"), [((100, 180, 199), "100.0"), ((100, 30, 4), "0.0")], ids=["up", "down"]
)
def test_where_a_limit_is_a_bound_of_scores_the_caption_says_so(
    home: Home, right: tuple[int, ...], end: str
) -> None:
    write_curves(home, retrieved=dict(zip((100, 1_000, 10_000), right, strict=True)))
    caption = drawn(home, "fit").caption
    assert f"; {end} is where a score must end, not what was measured)" in caption
    assert "Models were selected by linear-probe on validation data." in caption
