"""The classes figure."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from msgspec import structs

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.tasks import find_task
from results.drawing.look import STYLES
from results.figures import classes
from tests.support.drawing import drawn
from tests.support.layout import problems, words
from tests.support.records import score, write_run

TASK = find_task("mini-aircraft")


def write_answers(home: Home, source: str, right: list[int], each: int = 20) -> None:
    """Leave a run that got so many of each class's images right."""
    labels = np.repeat(np.arange(len(right)), each)
    scores = [structs.replace(score(split, 0.5), n=len(labels)) for split in ("val", "test")]
    record = write_run(home, source, None if source == "none" else 100, scores=scores)
    correct = np.tile(np.arange(each), len(right)) < np.repeat(right, each)
    pl.DataFrame(
        {
            "evaluator": "linear-probe", "split": "test", "at_epoch": "chosen",
            "key": [f"image-{place}" for place in range(len(labels))],
            "label": labels, "predicted": np.where(correct, labels, -1),
        }
    ).write_parquet(home.run(record.run_id) / "predictions.parquet")  # fmt: skip


def test_classes_are_sorted_by_the_first_arms_gain_with_both_side_by_side(home: Home) -> None:
    write_answers(home, "none", [10, 10, 10])
    write_answers(home, "retrieved", [12, 4, 18])
    write_answers(home, "synthetic", [8, 10, 14])
    shown = drawn(home, "classes")
    (panel,) = shown.figure.axes
    widths = {source: _widths(panel, source) for source in ("retrieved", "synthetic")}
    assert np.allclose(widths["retrieved"], [40, 10, -30])
    assert np.allclose(widths["synthetic"], [20, -10, 0])
    names = [label.get_text() for label in panel.get_yticklabels()]
    # The miniature task's.
    assert names == [TASK.class_names[label] for label in (2, 0, 1)]
    assert "left of zero, adaptation did harm" in shown.caption
    assert not problems(shown.figure)


def test_of_many_classes_the_extremes_are_shown_with_a_count_of_the_others(home: Home) -> None:
    write_answers(home, "none", [5] * 60)
    write_answers(home, "retrieved", [place % 20 for place in range(60)])
    shown = drawn(home, "classes")
    assert "44 classes between" in words(shown.figure)
    (panel,) = shown.figure.axes
    assert len(panel.get_yticks()) == 16
    assert not problems(shown.figure)


def test_an_interval_neither_collapses_nor_is_of_one_image(home: Home) -> None:
    """As of any difference: one more image, on which the arms are equal, for the variance."""
    write_answers(home, "none", [0, 10])
    write_answers(home, "retrieved", [20, 10])
    panel = drawn(home, "classes").figure.axes[0]
    (lines,) = (each for each in panel.collections if isinstance(each, LineCollection))
    reach = [segment[-1, 0] - segment[0, 0] for segment in lines.get_segments()]
    deviation = np.sqrt((20 - 20**2 / 21) / 20 * 21 / 20**2)
    assert np.allclose(reach, [2 * 195.996 * deviation, 0], atol=0.001)


def test_a_class_of_one_image_has_no_interval(home: Home) -> None:
    write_answers(home, "none", [0, 1], each=1)
    write_answers(home, "retrieved", [1, 1], each=1)
    shown = drawn(home, "classes")
    segments = [
        each.get_segments()
        for each in shown.figure.axes[0].collections
        if isinstance(each, LineCollection)
    ]
    assert all(np.isnan(segment).any() or not len(segment) for some in segments for segment in some)
    assert "nor for a class of fewer than 2 images" in shown.caption


@pytest.mark.parametrize("place", ["paper", "slides", "report"])
def test_where_nothing_changed_the_axis_has_a_point_on_either_side(home: Home, place: Any) -> None:
    for source in ("none", "retrieved", "synthetic"):
        write_answers(home, source, [10, 7, 3])
    shown = drawn(home, "classes", place)
    low, high = shown.figure.axes[0].get_xlim()
    assert -2 < low <= -1
    assert 1 <= high < 2
    assert "\N{MINUS SIGN}1" in words(shown.figure)
    assert not problems(shown.figure)


def test_on_slides_no_label_of_an_axis_is_cut(home: Home) -> None:
    write_answers(home, "none", [0, 0], each=1)
    write_answers(home, "retrieved", [1, 1], each=1)
    assert not problems(drawn(home, "classes", "slides").figure)


def test_bars_of_two_arms_differ_in_grey_print_too(home: Home) -> None:
    for source in ("none", "retrieved", "synthetic"):
        write_answers(home, source, [10, 7])
    panel = drawn(home, "classes").figure.axes[0]
    hatches = {bar.get_facecolor(): bar.get_hatch() for bar in panel.patches}
    assert (
        hatches[to_rgba(STYLES["retrieved"].colour)]
        != (hatches[to_rgba(STYLES["synthetic"].colour)])
    )


def test_shortened_names_and_characters_without_a_font_are_explained(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {0: f"first {'very ' * 30}long", 1: "sign \U0010fffd"}
    monkeypatch.setattr(classes, "class_names", lambda _: names)
    write_answers(home, "none", [10, 7])
    write_answers(home, "retrieved", [10, 8])
    shown = drawn(home, "classes")
    assert f"Names in full: A is {names[0]}." in shown.caption
    assert "Characters without a font on this machine are shown by number." in shown.caption
    assert "Models were selected by linear-probe on validation data." in shown.caption


def test_without_the_unadapted_model_there_are_no_gains(home: Home) -> None:
    write_answers(home, "retrieved", [12, 4, 18])
    with pytest.raises(RequestError, match="no gains by class"):
        drawn(home, "classes")


def _widths(panel: Axes, source: str) -> list[float]:
    """Return the lengths of an arm's bars from above; the last patch is its key's."""
    colour = to_rgba(STYLES[source].colour)
    bars = [bar for bar in panel.patches if isinstance(bar, Rectangle)]
    return [bar.get_width() for bar in bars if bar.get_facecolor() == colour][:-1]
