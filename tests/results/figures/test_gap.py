"""The figure of the difference between two arms."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.core.errors import RequestError
from bench.core.paths import Home
from results import pairs
from results.database import queries
from results.drawing.drawn import Drawn
from results.drawing.look import LOOKS, MUTED, SPARE, STYLES, Place
from results.drawing.wanted import Wanted
from results.figures.gap import draw, gap_figure
from tests.support.layout import EVALUATORS, LAYOUTS, PAPER, problems, words
from tests.support.records import STUDY, collected, write_curves, write_run

LONG = "folder " + "photographs-of-my-own_" * 3


def gaps(sizes: int, evaluators: int, a: str = "retrieved", b: str = "synthetic") -> pd.DataFrame:
    """Return rows of a table of pairs, of made-up differences."""
    random = np.random.default_rng([sizes, evaluators])
    return pd.DataFrame(
        {
            "evaluator": evaluator, "metric": "accuracy", "n_used": n, "a": a, "b": b,
            "difference": gap, "ci_low": gap - 0.03, "ci_high": gap + 0.03,
            "seed_difference_min": gap - 0.01, "seed_difference_max": gap + 0.01,
        }
        for evaluator, n in product(EVALUATORS[:evaluators], PAPER[-sizes:])
        for gap in [0.1 * random.normal()]
    )  # fmt: skip


def figure_of(frame: pd.DataFrame, place: Place = "paper", *, wide: bool = False) -> Figure:
    arms = STYLES["retrieved"], SPARE[0]
    return gap_figure(frame, arms, LOOKS[place], wide=wide)[1]


@contextmanager
def drawing(home: Home, **more: Any) -> Iterator[Drawn]:
    with collected(home) as connection:
        (study,) = queries.experiments(connection)
        yield draw(Wanted(home, connection, study, LOOKS["paper"], **more))


def shown(panel: Axes) -> NDArray[np.float64]:
    """Return the differences that are marked, by n."""
    marks = [line for line in panel.get_lines() if line.get_marker() in ("o", "^", "P", "d")]
    return np.array([np.asarray(mark.get_xydata(), float)[0] for mark in marks])


@pytest.mark.parametrize(("sizes", "evaluators"), [(1, 1), (9, 1), (8, 3), (4, 8)])
@pytest.mark.parametrize(("place", "wide"), LAYOUTS)
@pytest.mark.parametrize("names", [("retrieved", "synthetic"), (LONG, LONG + "b")])
def test_everything_is_on_the_canvas_and_no_text_overlaps(
    sizes: int, evaluators: int, place: Place, names: tuple[str, str], *, wide: bool
) -> None:
    assert not problems(figure_of(gaps(sizes, evaluators, *names), place, wide=wide))


@pytest.mark.slow(minutes=1)
@pytest.mark.parametrize(("place", "wide"), LAYOUTS)
def test_every_number_of_sizes_and_evaluators_has_room(place: Place, *, wide: bool) -> None:
    for sizes, evaluators in product(range(1, 10), range(1, 9)):
        figure = figure_of(gaps(sizes, evaluators), place, wide=wide)
        assert not problems(figure), (sizes, evaluators)


def test_it_shows_the_differences_and_intervals_of_the_pairs(home: Home) -> None:
    write_curves(home, retrieved={100: 120, 400: 160}, synthetic={100: 130, 400: 100})
    with collected(home) as connection:
        table = pairs.pair_table(connection, STUDY)
        figure = draw(Wanted(home, connection, STUDY, LOOKS["paper"])).figure
    (panel,) = figure.axes
    expected = 100 * table.sort_values("n_used")["difference"].to_numpy()
    assert shown(panel)[:, 0].tolist() == [100, 400]
    assert shown(panel)[:, 1] == pytest.approx(expected)
    assert expected == pytest.approx([-5, 30])
    assert "retrieved better" in words(figure)
    assert "synthetic better" in words(figure)


def test_a_mark_is_the_better_arms_and_hollow_where_nothing_is_sure(home: Home) -> None:
    write_curves(home, retrieved={100: 120, 400: 160}, synthetic={100: 121, 400: 100})
    with drawing(home) as drawn:
        (panel,) = drawn.figure.axes
        faces = {
            line.get_marker(): line.get_markerfacecolor()
            for line in panel.get_lines()
            if line.get_marker() in ("o", "^")
        }
    assert faces == {"^": "#FFFFFF", "o": STYLES["retrieved"].colour}
    assert "hollow where the interval holds 0" in drawn.caption


def test_a_caption_has_no_empty_sentence(home: Home) -> None:
    for source in ("retrieved", "synthetic"):
        write_run(home, source, 100, preset="paper", task="aircraft")
    with drawing(home) as drawn:
        assert drawn.caption.endswith("on validation data.")


def test_any_two_arms_are_compared_the_first_minus_the_second(home: Home) -> None:
    write_curves(home, retrieved={100: 120}, synthetic={100: 100}, real={100: 160})
    write_run(home, "none", None, right=80)
    for arms, points in (
        (("synthetic", "retrieved"), -10),
        (("real", "synthetic"), 30),
        (("real", "none"), 40),
        (("none", "real"), -40),
    ):
        with drawing(home, arms=arms) as drawn:
            (panel,) = drawn.figure.axes
            assert shown(panel)[:, 1] == pytest.approx([points])
            names = ["unadapted" if arm == "none" else arm for arm in arms]
            assert drawn.caption.lower().startswith(f"{names[0]} minus {names[1]}, in points of")
            assert f"{names[1]} better" in words(drawn.figure)


def test_without_two_arms_or_their_predictions_there_is_nothing_to_draw(home: Home) -> None:
    write_run(home, "retrieved", 100)
    with pytest.raises(RequestError, match="no two arms to compare"), drawing(home):
        pass
    write_run(home, "synthetic", 200)
    with pytest.raises(RequestError, match="no predictions on the same test images"), drawing(home):
        pass


def test_equal_arms_are_drawn(home: Home) -> None:
    write_curves(home, retrieved={100: 200, 400: 200}, synthetic={100: 200, 400: 200})
    with drawing(home) as drawn:
        assert not problems(drawn.figure)
        assert shown(drawn.figure.axes[0])[:, 1].tolist() == [0, 0]


def test_a_tie_has_no_arms_mark() -> None:
    frame = gaps(3, 1).assign(difference=[0.1, 0.0, -0.1])
    marks = [
        line for line in figure_of(frame).axes[0].get_lines() if np.size(line.get_xdata()) == 1
    ]
    colours = [line.get_color() for line in marks if line.get_marker() not in ("|", "_", "None")]
    assert {MUTED, STYLES["retrieved"].colour, SPARE[0].colour} <= set(colours)


def test_equal_arms_are_said_to_be_equal(home: Home) -> None:
    write_curves(home, retrieved={100: 120, 400: 140}, synthetic={100: 100, 400: 140})
    with drawing(home) as figure:
        assert "Grey: the arms are equal." in figure.caption


def test_a_metric_is_written_in_words() -> None:
    text = words(figure_of(gaps(3, 1).assign(metric="mean-per-class")))
    assert "mean-per-class accuracy gap (points)" in " ".join(text.split())
