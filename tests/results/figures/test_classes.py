"""The classes figure."""

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.tasks import find_task
from results.drawing.look import STYLES
from tests.support.drawing import drawn
from tests.support.layout import problems, words
from tests.support.records import write_run

TASK = find_task("mini-aircraft")


def write_answers(home: Home, source: str, right: list[int], each: int = 20) -> None:
    """Leave a run that got so many of each class's images right."""
    record = write_run(home, source, None if source == "none" else 100)
    labels = np.repeat(np.arange(len(right)), each)
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


def test_without_the_unadapted_model_there_are_no_gains(home: Home) -> None:
    write_answers(home, "retrieved", [12, 4, 18])
    with pytest.raises(RequestError, match="no gains by class"):
        drawn(home, "classes")


def _widths(panel: Axes, source: str) -> list[float]:
    """Return the lengths of an arm's bars from above; the last patch is its key's."""
    colour = to_rgba(STYLES[source].colour)
    bars = [bar for bar in panel.patches if isinstance(bar, Rectangle)]
    return [bar.get_width() for bar in bars if bar.get_facecolor() == colour][:-1]
