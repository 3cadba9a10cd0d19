"""Several processes at one run, through the real command line under torchrun."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.core.paths import Home
from tests.conftest import Bench, Outcome, environment

# Without "--" torchrun takes our --n for an abbreviation of its own options.
LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--"]


def together(home: Path, *words: str) -> Outcome:
    """Run the command line in two processes."""
    done = subprocess.run(
        [sys.executable, *LAUNCHER, "bench.cli", *words], env=environment(home), cwd=home.parent,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


def request(preset: Path, colours: Path, n: str) -> list[str]:
    words = ["run", "--preset", str(preset), "--source", "folder", "--task", str(colours)]
    return [*words, "--set", f"source.path={colours / 'train'}", "--n", n, "--json"]


def result(record: dict[str, Any]) -> dict[str, Any]:
    """Return what does not depend on the number of processes."""
    names = ("run_id", "status", "n", "image_set", "scores", "stage_counts", "weights")
    return {name: record[name] for name in names}


def test_runs_share_the_unadapted_models_features(
    bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    first, second = (bench(*request(preset, colours, "6"), "--seed", seed) for seed in ("0", "1"))
    scores = {outcome.json["selection"]["history"][0]["score"] for outcome in (first, second)}
    assert len(scores) == 1

    def kept() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (home.data / "features").iterdir()}

    before = kept()
    assert before
    assert bench(*request(preset, colours, "6"), "--seed", "2").code == 0
    assert kept() == before


@pytest.mark.parametrize(("nodes", "per_node", "here"), [(2, 8, None), (1, 2, None), (1, 2, 3)])
def test_another_number_of_processes_than_asked_for_is_refused_before_any_work(
    bench: Bench,
    home: Home,
    preset: Path,
    colours: Path,
    monkeypatch: pytest.MonkeyPatch,
    nodes: int,
    per_node: int,
    here: int | None,
) -> None:
    if here is not None:
        monkeypatch.setenv("WORLD_SIZE", str(here))
    words = request(preset, colours, "6")
    words += ["--set", f"train.nodes={nodes}", "--set", f"train.gpus_per_node={per_node}"]
    outcome = bench(*words)
    assert outcome.code == 2
    torchrun = f"torchrun --nnodes={nodes} --nproc-per-node={per_node} -m -- bench.cli run"
    for part in (f"ask for {nodes * per_node} processes, but ", torchrun, "or add --on slurm"):
        assert part in outcome.complaint
    assert not [*home.runs.iterdir(), *home.data.iterdir()]
    assert bench(*words, "--dry-run").code == 0


@pytest.mark.slow
def test_two_processes_make_the_record_of_one(
    bench: Bench, home: Home, preset: Path, colours: Path, tmp_path: Path
) -> None:
    alone = bench(*request(preset, colours, "23"))
    assert alone.code == 0, alone.err
    two = ["--set", "train.gpus_per_node=2"]
    outcome = together(tmp_path / "two", *request(preset, colours, "23"), *two)
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)  # One object: the second process says nothing.
    assert result(record) == result(alone.json)
    assert (record["processes"], alone.json["processes"]) == (2, 1)
    spec = alone.json["spec"]
    assert record["spec"] == {**spec, "train": {**spec["train"], "gpus_per_node": 2}}
    histories = [content["selection"]["history"] for content in (record, alone.json)]
    for ours, theirs in zip(*histories, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)
        names = ("epoch", "lr", "score")
        assert [ours[name] for name in names] == [theirs[name] for name in names]
    again = together(tmp_path / "two", *request(preset, colours, "23"))
    assert json.loads(again.out) == record


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["bn", "ln"])
def test_coupled_images_see_those_of_the_other_process(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, norm: str
) -> None:
    words = [*request(preset, colours, "24"), "--objective", "supcon"]
    for setting in (
        *(f"objective.{one}" for one in (f"norm={norm}", "hidden=32", "out=16")),
        *(
            "evaluators.zero-shot=null",
            "evaluators.linear-probe={}",
            "train.select_by=linear-probe",
        ),
        "train.lr=1e-4",
    ):
        words += ["--set", setting]
    alone = bench(*words)
    assert alone.code == 0, alone.err
    outcome = together(tmp_path / "two", *words)
    assert outcome.code == 0, outcome.err
    assert outcome.json["run_id"] == alone.json["run_id"]
    histories = [content.json["selection"]["history"] for content in (outcome, alone)]
    for ours, theirs in zip(*(history[1:] for history in histories), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["parts"] == theirs["parts"]
        assert ours["effective_rank"] == pytest.approx(theirs["effective_rank"], rel=1e-3)
    uneven = together(tmp_path / "two", *words, "--set", "train.batch_size=9")
    assert uneven.code != 0
    assert "train.batch_size=9 is no multiple of 2" in uneven.err


@pytest.mark.slow
def test_failure_of_the_first_process_ends_the_second(
    home: Home, preset: Path, colours: Path
) -> None:
    started = time.monotonic()
    outcome = together(home.root, *request(preset, colours, "2000"))
    assert outcome.code != 0
    assert time.monotonic() - started < 240
    assert outcome.err.count("bench: error: 2k images asked for") == 1
    (record,) = [json.loads(path.read_bytes()) for path in home.root.glob("runs/*/record.json")]
    assert record["status"] == "failed"


def test_study_in_several_processes_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    outcome = bench("sweep", "studies/quick.yaml")
    assert outcome.code == 2
    assert "torchrun" in outcome.complaint
