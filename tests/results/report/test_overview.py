"""The page's first table and what a number opens: from runs whose answers are known."""

from pathlib import Path

import pytest

from bench.core.paths import Home
from results import pairs
from results.database import queries
from results.report import evidence
from results.report.overview import Row, overview
from tests.support.records import IMAGES, STUDY, collected, score, write_run


def rows(home: Home) -> list[Row]:
    with collected(home) as connection:
        known = pairs.differences(connection, STUDY)
        return overview(connection, STUDY, queries.scaling(connection, STUDY), known)


@pytest.mark.parametrize("better", ["retrieved", "synthetic"])
def test_the_better_arm_wins_at_the_largest_n_that_both_have(home: Home, better: str) -> None:
    worse = {"retrieved": "synthetic", "synthetic": "retrieved"}[better]
    for seed in range(3):
        # At the smaller n it is the other way round, and one arm has a larger n alone.
        for source, n, right in ((better, 100, 20), (worse, 100, 190), (better, 400, 160 + seed),
                                 (worse, 400, 60 + seed), (better, 900, 10)):  # fmt: skip
            scores = [score("val", 0.5), score("test", right / IMAGES)]
            write_run(home, source, n, right=right, seed=seed, scores=scores)
    (row,) = rows(home)
    assert (row.n, row.a, row.b) == (400, "retrieved", "synthetic")
    assert row.winner == better
    of = dict(zip((row.a, row.b), row.scores, strict=True))
    assert of[better] == pytest.approx(161 / IMAGES)
    assert of[worse] == pytest.approx(61 / IMAGES)
    sign = 1 if better == "retrieved" else -1
    assert row.difference.estimate.value == pytest.approx(sign * 0.5)


def test_equal_arms_have_no_winner(home: Home) -> None:
    for seed in range(3):
        for source in ("retrieved", "synthetic"):
            write_run(home, source, 100, right=100, seed=seed)
    (row,) = rows(home)
    assert row.winner == "neither"


def test_a_run_is_told_as_its_record_has_it(home: Home, tmp_path: Path) -> None:
    history = [{"epoch": epoch, "score": 0.1 * epoch} for epoch in range(4)]
    run = write_run(
        home, "retrieved", 100, used=97, seed=5, scores=[score("val", 0.25), score("test", 0.75)],
        selection={"epoch": 3, "history": history}, timings={"source": 12.34},
    )  # fmt: skip
    with collected(home) as connection:
        means = queries.scaling(connection, STUDY)
        (told,) = evidence.runs(connection, STUDY, queries.selected_runs(connection, STUDY))
        curves = evidence.curves(means, STUDY)
    assert (told["id"], told["n"], told["used"], told["seed"]) == (run.run_id, 97, 97, 5)
    assert told["scores"]["linear-probe"][:2] == [25.0, 75.0]
    assert told["curve"] == pytest.approx([0, 10, 20, 30])
    assert told["seconds"] == {"source": 12.3}
    assert curves["mean"] == [75.0]


def test_a_curves_band_is_from_the_least_to_the_most(home: Home) -> None:
    for seed, right in enumerate((80, 100, 150)):
        scores = [score("val", 0.5), score("test", right / IMAGES)]
        write_run(home, "retrieved", 100, right=right, seed=seed, scores=scores)
    with collected(home) as connection:
        curves = evidence.curves(queries.scaling(connection, STUDY), STUDY)
    assert (curves["least"], curves["most"]) == ([40.0], [75.0])
    assert curves["low"] < curves["mean"] < curves["high"]
