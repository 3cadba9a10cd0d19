"""Arms are compared under one way of judging, which validation data does not choose."""

from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import polars as pl
import pytest

from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.records import RunRecord
from results import queries, store, tables
from results.conclusion import conclusions
from results.figures import scaling_figure
from results.protocols import evaluator_labels
from results.report import write_report
from tests.results.test_results import STUDY, score, write_run

LBFGS: Json = {"features": "projection", "solver": "lbfgs"}
ADAMW: Json = {"features": "projection", "solver": "adamw"}


def judged(home: Home, source: str, options: Json, **changes: Any) -> RunRecord:
    return write_run(home, source, 100, evaluators={"linear-probe": options}, **changes)


def said(home: Home) -> list[str]:
    store.collect(home)
    with store.reading(home) as connection:
        return conclusions(connection, STUDY)


def means(home: Home) -> pd.DataFrame:
    store.collect(home)
    with store.reading(home) as connection:
        return queries.scaling(connection, STUDY)


def write_judged_by(home: Home, source: str, *names: str, seed: int = 0) -> None:
    """Leave a run that several evaluators judged alike."""
    scores = [
        msgspec.structs.replace(score(split, 0.5), evaluator=name)
        for name in names
        for split in ("val", "test")
    ]
    record = write_run(
        home, source, None if source == "none" else 100, seed=seed, scores=scores,
        evaluators={name: {} for name in names}, right=100 if source == "none" else 120,
    )  # fmt: skip
    path = home.run(record.run_id) / "predictions.parquet"
    own = pl.read_parquet(path)
    pl.concat([own.with_columns(evaluator=pl.lit(name)) for name in names]).write_parquet(path)


def test_arms_are_compared_under_one_protocol(home: Home, tmp_path: Path) -> None:
    """The one that is better on val is another one in each arm."""
    judged(home, "retrieved", LBFGS, right=120, val=0.9)
    judged(home, "retrieved", ADAMW, right=60, val=0.1)
    judged(home, "synthetic", LBFGS, right=100, val=0.1)
    judged(home, "synthetic", ADAMW, right=80, val=0.9)
    store.collect(home)
    names = ["linear-probe solver=adamw", "linear-probe solver=lbfgs"]
    with store.reading(home) as connection:
        selected = queries.selected_runs(connection, STUDY)
        found = [queries.paired_difference(connection, STUDY, name, 100) for name in names]
        sentences = conclusions(connection, STUDY)
    assert sorted(zip(selected["source"], selected["evaluator"], strict=True)) == [
        (source, name) for source in ("retrieved", "synthetic") for name in names
    ]
    assert set(selected["rivals"]) == {1}
    assert [one and one.estimate.value for one in found] == pytest.approx([-0.1, 0.1])
    assert [name for name in names if name in " ".join(sentences)] == names
    assert names[1] in write_report(home, tmp_path / "report").html.read_text()


def test_one_protocol_keeps_the_evaluators_name(home: Home) -> None:
    runs = [judged(home, "retrieved", ADAMW), judged(home, "synthetic", ADAMW)]
    # A run that failed was judged by nothing.
    runs.append(judged(home, "synthetic", LBFGS, seed=1, status="failed", scores=[]))
    assert evaluator_labels(runs) == {}


def test_parts_are_called_by_their_evaluators_options(home: Home) -> None:
    names = ("few-shot-1", "few-shot", "few-shot-text", "few-shotgun")
    scores = [msgspec.structs.replace(score("test", 0.5), evaluator=name) for name in names]
    one, other = (
        write_run(
            home, "retrieved", 100, scores=scores,
            evaluators={"few-shot": {"draws": draws}, "few-shot-text": {}, "few-shotgun": {}},
        )
        for draws in (3, 5)
    )  # fmt: skip
    assert evaluator_labels([one, other]) == {
        (one.run_id, "few-shot"): "few-shot draws=3",
        (one.run_id, "few-shot-1"): "few-shot-1 draws=3",
        (other.run_id, "few-shot"): "few-shot draws=5",
        (other.run_id, "few-shot-1"): "few-shot-1 draws=5",
    }


def test_a_protocol_that_one_arm_lacks_does_not_displace_the_headline(home: Home) -> None:
    judged(home, "retrieved", LBFGS, right=120)
    judged(home, "synthetic", LBFGS, right=80)
    judged(home, "synthetic", ADAMW, right=190)
    write_judged_by(home, "none", "knn")
    headline, missing, _ = said(home)
    assert "retrieved images beat synthetic ones by 20.0 points of linear-probe solver=lbfgs" in (
        headline
    )
    # Nor is a word lost on what judged neither.
    assert missing == ("Retrieved images were not judged by linear-probe solver=adamw.")


def test_a_protocol_without_a_common_n_does_not_displace_the_headline(home: Home) -> None:
    for source, n in (("retrieved", 100), ("synthetic", 200)):
        judged(home, source, LBFGS, right=120)
        write_run(home, source, n, evaluators={"linear-probe": ADAMW}, lr=1e-3)
    first, *_, last, _ = said(home)
    assert "at n = 100" in first
    assert last == (
        "Retrieved and synthetic images were not judged at the same n by linear-probe solver=adamw."
    )


def test_an_arm_has_one_row_however_it_was_judged(home: Home) -> None:
    for seed in (0, 1):
        judged(home, "retrieved", LBFGS, seed=seed)
    judged(home, "retrieved", ADAMW)
    table = tables.readable(means(home))
    assert table.to_dict("records") == [
        {
            "source": "retrieved",
            "n used": "100",
            "seeds": "2",
            "linear-probe solver=adamw accuracy": "50.0 [43.0, 57.0] (seeds: 1)",
            "linear-probe solver=lbfgs accuracy": "50.0 ± 0.0 [43.0, 57.0]",
        }
    ]


ALL = (
    "linear-probe", "zero-shot", "few-shot-1", "few-shot-2", "few-shot-4", "few-shot-8",
    "few-shot-16", "knn",
)  # fmt: skip


def test_evaluators_are_shown_the_papers_first_and_then_by_number(home: Home) -> None:
    for source in ("retrieved", "synthetic"):
        write_judged_by(home, source, *sorted(ALL))
    found = means(home)
    assert list(tables.readable(found))[3:] == [f"{name} accuracy" for name in ALL]
    headline, others, _ = said(home)
    assert " of linear-probe accuracy " in headline
    places = [others.index(f" {name} accuracy (") for name in ALL[1:]]
    assert places == sorted(places)
    panels = scaling_figure(found, "title").subfigs[0].axes
    assert tuple(axes.get_title() for axes in panels) == ALL
    boxes = [axes.get_position() for axes in panels]
    assert len({round(box.x0, 3) for box in boxes}) == 3
    assert len({round(box.y0, 3) for box in boxes}) == 3


def test_per_class_scores_are_zero_shot_ones_shown_once(home: Home, tmp_path: Path) -> None:
    for source in ("none", "retrieved", "synthetic"):
        write_judged_by(home, source, "zero-shot", "per-class")
    assert set(means(home)["evaluator"]) == {"zero-shot"}
    assert not any("per-class" in sentence for sentence in said(home))
    page = write_report(home, tmp_path / "report").html.read_text()
    assert page.count("<li>retrieved images, n = 100, zero-shot, per-class: ") == 1


def test_per_class_alone_is_shown(home: Home) -> None:
    write_judged_by(home, "retrieved", "per-class")
    assert set(means(home)["evaluator"]) == {"per-class"}
