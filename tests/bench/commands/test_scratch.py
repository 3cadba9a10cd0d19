"""Runs from scratch: another run, another baseline, and no features of the fetched model."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from bench.core.paths import Home
from tests.conftest import Bench, Outcome
from tests.support.command_line import request

Run = Callable[..., Outcome]

SCRATCH = ("--set", "train.init=scratch")
PROBED = ("--set", "evaluators.linear-probe={}")


def predicted(home: Home, run: Run, *words: str) -> tuple[str, list[int]]:
    """Return a run's id, and what the unadapted network predicted."""
    record = run(*words, *PROBED, "--set", "train.epochs=0").json
    rows = pl.read_parquet(home.run(record["run_id"]) / "predictions.parquet")
    return record["run_id"], rows["predicted"].to_list()


def test_an_untrained_network_and_the_fetched_one_never_share_features(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*words: str) -> Outcome:
        return bench(*request(preset, colours, *words))

    found = []
    for place, first in (("a", ()), ("b", SCRATCH)):
        home = Home(tmp_path / place)
        monkeypatch.setenv("BENCH_HOME", str(home.root))
        second = () if first else SCRATCH
        runs = {words: predicted(home, run, *words) for words in (first, second)}
        if first:
            assert len(list((home.data / "features").iterdir())) > 0
        found.append((runs[()], runs[SCRATCH]))
    assert found[0] == found[1]
    fetched, untrained = found[0]
    assert fetched[0] != untrained[0]
    assert fetched[1] != untrained[1]


def test_an_untrained_network_leaves_no_features_behind(run: Run, home: Home) -> None:
    assert run(*SCRATCH).code == 0
    assert not (home.data / "features").exists()
    assert run().code == 0
    assert (home.data / "features").exists()


def test_a_training_from_scratch_continues_and_its_baseline_is_a_run(run: Run, home: Home) -> None:
    record = run(*SCRATCH).json
    assert record["spec"]["train"]["head_init"] == "random"
    assert [epoch["epoch"] for epoch in record["selection"]["history"]] == [0, 1, 2]
    baseline = run("--source", "none", *SCRATCH).json
    assert baseline["n"]["used"] == 0
    assert (
        baseline["selection"]["history"][0]["score"] == record["selection"]["history"][0]["score"]
    )
    assert run("--source", "none").json["run_id"] != baseline["run_id"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--set evaluators.zero-shot-text={}", "add --set evaluators.zero-shot-text=null"),
        ("--set train.head_init=text", "leave train.head_init out"),
    ],
)
def test_what_needs_the_fetched_weights_is_refused(
    run: Run, home: Home, words: str, why: str
) -> None:
    refused = run(*SCRATCH, *words.split())
    assert refused.code == 2
    assert why in refused.complaint
    assert not home.root.exists()
