"""The scaling plot."""

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
