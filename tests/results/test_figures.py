"""The scaling plot."""

from itertools import pairwise
from pathlib import Path

import pytest

from bench.core.paths import Home
from results.database import queries
from results.figures import scaling_figure
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
