"""Arms are compared under one way of judging, which validation data does not choose."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.paths import Home
from bench.types import Json, RunRecord
from results import queries, store
from results.conclusion import conclusions
from results.protocols import evaluator_labels
from results.report import write_report
from tests.test_results import STUDY, score, write_run

LBFGS: Json = {"features": "projection", "solver": "lbfgs"}
ADAMW: Json = {"features": "projection", "solver": "adamw"}


def judged(home: Home, source: str, options: Json, **changes: Any) -> RunRecord:
    return write_run(home, source, 100, evaluators={"linear-probe": options}, **changes)


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
