"""The scaling plot."""

import math
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from matplotlib.text import Text

from bench.core.paths import Home
from results.database import queries
from results.figures.scaling import save, scaling_figure
from tests.support.records import STUDY, collected, score, write_run


@pytest.mark.parametrize("evaluators", [1, 2, 3])
def test_a_figures_legend_is_not_cut(home: Home, tmp_path: Path, evaluators: int) -> None:
    names = ["linear-probe", "zero-shot", "knn"][:evaluators]
    scores = [score("test", 0.5, name) for name in names]
    for source, n in (("none", None), ("retrieved", 100), ("synthetic", 100), ("retrieved", 1_000)):
        for seed in (0, 1):
            trained = 40 if source == "synthetic" else None
            write_run(home, source, n, seed=seed, scores=scores, trained=trained)
    with collected(home) as connection:
        figure = scaling_figure(queries.scaling(connection, STUDY), STUDY.title)
    figure.savefig(tmp_path / "figure.png")
    (legend,) = (legend for below in figure.subfigs for legend in below.legends)
    texts = " ".join(text.get_text() for text in legend.get_texts())
    assert "no more retrieved images" in texts
    assert "dotted: best trained epoch" in texts
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_sizes_of_the_paper_are_labelled_without_overlap(home: Home) -> None:
    for n in (1_000, 4_000, 16_000, 31_250, 62_500, 125_000, 250_000, 500_000, 1_000_000):
        write_run(home, "synthetic", n)
    write_run(home, "synthetic", 2_500_000)
    with collected(home) as connection:
        figure = scaling_figure(queries.scaling(connection, STUDY), STUDY.title)
    figure.canvas.draw()
    (axes,) = (axes for part in figure.subfigs for axes in part.axes)
    labels = sorted(axes.get_xticklabels(), key=lambda label: label.get_position()[0])
    assert [label.get_text() for label in labels][-3:] == ["500k", "1M", "2.5M"]
    boxes = [label.get_window_extent() for label in labels]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_the_unadapted_model_alone_is_a_line(home: Home) -> None:
    write_run(home, "none", None)
    with collected(home) as connection:
        figure = scaling_figure(queries.scaling(connection, STUDY), STUDY.title)
    figure.canvas.draw()
    (axes,) = (axes for part in figure.subfigs for axes in part.axes)
    assert len(axes.get_lines()) == 1


def test_no_panel_is_of_the_unadapted_model_alone_beside_adapted_ones(home: Home) -> None:
    both = [score("test", 0.5, name) for name in ("linear-probe", "zero-shot")]
    write_run(home, "none", None, scores=both)
    write_run(home, "synthetic", 100, objective="simclr", scores=both[:1])
    experiment = STUDY._replace(objective="simclr")
    with collected(home) as connection:
        figure = scaling_figure(queries.scaling(connection, experiment), experiment.title)
    (axes,) = (axes for part in figure.subfigs for axes in part.axes)
    assert axes.get_title() == "linear-probe"
    assert len(axes.get_lines()) > 1


@pytest.mark.parametrize(
    "name",
    [
        "\u822a\u7a7a\u6a5f",
        "\u082a \U0001f339\ufe0f",
        "\u0637\u0627\u0626\u0631\u0629",
        "a\x1b[31m",
        "$x_1$ <b> 5 %_",
    ],
)
def test_every_character_of_a_name_is_shown_without_a_warning(
    home: Home, tmp_path: Path, name: str, recwarn: pytest.WarningsRecorder
) -> None:
    long = f"/data/{name}/{'far/' * 20}"
    write_run(home, "folder", 100, options={"path": f"/data/{name}"}, task=name)
    write_run(home, "folder", 100, options={"path": long}, task=name)
    with collected(home) as connection:
        (study,) = queries.experiments(connection)
        figure = scaling_figure(queries.scaling(connection, study), study.title)
    save(figure, tmp_path / "figure")
    assert not [str(each.message) for each in recwarn]
    (legend,) = (legend for below in figure.subfigs for legend in below.legends)
    assert legend.get_window_extent().x1 <= figure.bbox.width
    # Its own characters, or their numbers, with a note.
    shown = " ".join(text.get_text() for text in figure.findobj(Text))
    assert name in shown or ("shown by number" in shown and "\\u" in shown.lower())


def test_a_score_may_lie_on_its_own_limit_or_above_by_rounding(home: Home) -> None:
    perfect = score("test", 1.0)
    above = msgspec.structs.replace(perfect, ci_high=math.nextafter(1.0, 0.0))
    write_run(home, "real", 100, scores=[score("val", 1.0), above])
    with collected(home) as connection:
        (study,) = queries.experiments(connection)
        scaling_figure(queries.scaling(connection, study), study.title)
