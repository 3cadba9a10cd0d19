"""One run: what it prints and leaves, what a second one shares with it, and faults."""

import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bench.core.paths import Home
from bench.core.records import Counts, RunRecord
from bench.planning.preset import resolve
from bench.steps.prepare import with_fingerprints
from bench.storage.run_folder import write_record
from bench.tasks import find_task
from tests.conftest import Bench, Outcome, command, environment
from tests.support.command_line import files, request

Run = Callable[..., Outcome]

UNTRAINABLE = """
from adapt.objectives.ce import CrossEntropy
from bench.core.errors import BenchError
from bench.plugins import objectives

@objectives.register("untrainable")
class Untrainable(CrossEntropy):
    def loss(self, encoded, batch, step):
        raise BenchError("no loss here")
"""


def test_json_is_one_object_with_everything_a_script_needs(run: Run, home: Home) -> None:
    done = run("--n", "12", "--seed", "3")
    assert done.code == 0
    assert len(done.out.splitlines()) == 1
    record = done.json
    assert (record["status"], record["spec"]["seed"]) == ("done", 3)
    counts = {"asked": 12, "matched": 24, "fetched": 24, "kept": 24, "used": 12}
    assert record["n"] == {**counts, "captions": None}
    assert {"run_id", "spec", "image_set", "timings", "versions", "git"} <= record.keys()
    assert set(record["timings"]) >= {"source", "adapt", "evaluate"}
    assert {"commit", "dirty"} <= record["git"].keys()
    judged = {(score["evaluator"], score["split"]) for score in record["scores"]}
    assert judged == {("zero-shot", "val"), ("zero-shot", "test")}
    for score in record["scores"]:
        assert score["n"] == {"val": 12, "test": 15}[score["split"]]
        assert 0 <= score["ci_low"] <= score["value"] <= score["ci_high"] <= 1
        assert {"metric", "chosen"} <= score.keys()
    assert json.loads((home.run(record["run_id"]) / "record.json").read_text()) == record


def test_classes_without_an_image_are_said_before_the_training_and_recorded(
    run: Run, bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    empty = run("--n", "1").json["empty_classes"]
    assert len(empty) == 2
    assert set(empty) < {"red", "green", "blue"}
    words = [word for word in request(preset, colours, "--n", "1") if word != "--json"]
    assert f"classes without an image: 2 ({', '.join(empty)})" in bench(*words).out
    assert run("--n", "24").json["empty_classes"] == []
    plugin = tmp_path / "untrainable.py"
    plugin.write_text(UNTRAINABLE)
    stopped = run("--n", "1", "--objective", "untrainable", "--plugin", str(plugin))
    assert stopped.code == 1
    said = f"classes without an image among the 1 used: 2 ({', '.join(empty)})"
    assert said in stopped.err.partition("no loss here")[0]


def test_a_second_run_does_nothing_but_with_fresh_and_then_comes_to_the_same(
    run: Run, home: Home
) -> None:
    first = run("--n", "9")
    before = files(home.root)
    assert run("--n", "9").out == first.out
    assert files(home.root) == before
    fresh = run("--n", "9", "--fresh").json
    assert fresh["scores"] == first.json["scores"]
    assert fresh["timings"] != first.json["timings"]


def test_where_training_harms_the_record_has_its_scores_and_predictions_too(
    run: Run, bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    words = ("--n", "24", "--set", "train.lr=0.05", "--set", "train.epochs=4")
    record = run(*words).json
    history = record["selection"]["history"]
    numbers = [record["selection"][name] for name in ("epoch", "trained_epoch", "last_epoch")]
    assert numbers[0] == 0 < numbers[1] < numbers[2] == 4
    scores = {
        (score["split"], score["at_epoch"]): score["value"]
        for score in record["scores"]
        if score["metric"] == "accuracy"
    }
    at_epochs = ("chosen", "trained", "last")
    assert scores.keys() == set(product(("val", "test"), at_epochs))
    by_epoch = dict(zip(at_epochs, numbers, strict=True))
    for at_epoch, epoch in by_epoch.items():
        assert scores["val", at_epoch] == history[epoch]["score"]
    predictions = pl.read_parquet(home.run(record["run_id"]) / "predictions.parquet")
    for at_epoch in ("chosen", "trained"):
        rows = predictions.filter(pl.col("at_epoch") == at_epoch)
        right = (rows["label"] == rows["predicted"]).mean()
        assert rows.height == 15
        assert right == pytest.approx(scores["test", at_epoch])
    assert predictions.height == 30
    shown = bench(*[word for word in request(preset, colours, *words) if word != "--json"])
    assert f"validation kept the unadapted model; the best trained epoch, {numbers[1]}" in shown.out


@pytest.mark.parametrize(("source", "shown"), [("synthetic", 1), ("mixed", 1), ("retrieved", 0)])
def test_a_miniature_score_stands_beside_the_generators_fidelity(
    bench: Bench, home: Home, source: str, shown: int
) -> None:
    spec = with_fingerprints(resolve("mini", task="aircraft", source=source, n=9), home)
    n = Counts(asked=9, matched=9, fetched=9, kept=9, used=9)
    write_record(home, RunRecord(run_id=spec.run_id, status="done", spec=spec, n=n, image_set=""))
    done = bench("run", "--preset", "mini", "--task", "aircraft", "--source", source, "--n", "9")
    assert done.code == 0, done.err
    assert done.out.count("generator fidelity: ") == shown


def test_a_dry_run_writes_nothing(run: Run, home: Home) -> None:
    done = run("--n", "9", "--dry-run")
    assert done.code == 0
    assert not home.root.exists()
    assert run("--n", "9").json["run_id"] == done.json["run_id"]


def test_other_images_in_a_task_folder_are_another_run(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    task = tmp_path / "copy" / "colours"
    shutil.copytree(colours, task)
    first = bench(*request(preset, task, "--n", "9")).json
    shutil.copy(task / "train" / "red" / "0.png", task / "train" / "blue" / "0.png")
    second = bench(*request(preset, task, "--n", "9")).json
    assert second["run_id"] != first["run_id"]
    assert second["image_set"] != first["image_set"]


def test_a_folder_that_is_called_like_a_task_does_not_replace_it(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(colours, tmp_path / "mini-aircraft")
    monkeypatch.chdir(tmp_path)
    done = bench(*request(preset, Path("mini-aircraft"), "--dry-run"))
    assert done.json["spec"]["fingerprints"]["task"] == find_task("mini-aircraft").fingerprint


def test_runs_share_what_they_share(run: Run, home: Home) -> None:
    for n, seed in product("69", "01"):
        assert run("--n", n, "--seed", seed).code == 0
    assert len(list(home.data.glob("real-*"))) == 1
    assert len(list(home.runs.iterdir())) == 4


def test_images_can_be_built_before_the_run(
    bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    words = [word for word in request(preset, colours) if word != "--json"]
    done = bench("build", *words[1:])
    assert done.code == 0
    assert done.out.startswith("24 images of real for ")
    before = files(home.data)
    assert bench(*words, "--n", "all").code == 0
    assert {path: content for path, content in files(home.data).items() if path in before} == before


@pytest.mark.slow
def test_two_processes_at_one_run_both_succeed_with_one_record(
    home: Home, preset: Path, colours: Path
) -> None:
    words = command(*request(preset, colours, "--n", "9"))
    both = [
        subprocess.Popen(words, env=environment(home.root), stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    outs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outs[0] == outs[1]
    assert len(list(home.runs.iterdir())) == 1


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_scores(
    bench_process: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    words = request(preset, colours, "--n", "all", "--set", "train.epochs=60")
    rng, code, out = random.Random(1), -1, ""
    killed: list[list[tuple[str, int]]] = []
    other = tmp_path / "disturbed"
    while code != 0:
        process = subprocess.Popen(
            command(*words), env=environment(other), stdout=subprocess.PIPE, text=True
        )
        # Wait until there is something to destroy, then strike at a random moment.
        before = progress_of(other)
        while process.poll() is None and progress_of(other) == before:
            time.sleep(0.005)
        if len(killed) < 5:
            time.sleep(rng.uniform(0, 0.3))
            process.kill()
        out = process.communicate()[0]
        code = process.returncode
        if code:
            assert code == -signal.SIGKILL
            killed.append(progress_of(other))
            assert not out
    # In a process too, with as many threads: their number changes the last digits of a sum.
    assert len(killed) >= 3
    assert result(json.loads(out)) == result(bench_process(*words).json)


def progress_of(root: Path) -> list[tuple[str, int]]:
    """Return what a run has written so far, without its heartbeat, which comes before any work."""
    written = []
    for path in sorted(root.rglob("*")) if root.exists() else ():
        with suppress(FileNotFoundError):
            if "heartbeat" not in path.name:
                written.append((str(path), path.stat().st_mtime_ns))
    return written


def result(record: dict[str, Any]) -> Any:
    epochs = record["selection"]["history"]
    history = [(epoch["epoch"], epoch["loss"], epoch["score"]) for epoch in epochs]
    return history, [record[name] for name in ("run_id", "scores", "image_set")]


def test_a_corrupt_shard_is_one_line_and_its_advice_helps(run: Run, home: Home) -> None:
    undisturbed = run("--n", "24").json
    (tar,) = home.data.glob("real-*/00000/images.tar")
    content = bytearray(tar.read_bytes())
    for position in range(600, len(content), 3000):
        content[position] ^= 0xFF
    tar.write_bytes(content)
    done = run("--n", "24", "--fresh")
    assert done.code == 1
    assert f"the shard {tar} is corrupt" in done.complaint
    assert done.out == ""
    advice = done.complaint.partition("; ")[2]
    assert advice.startswith("delete ")
    shutil.rmtree(advice.split()[1])
    assert run("--n", "24").json["scores"] == undisturbed["scores"]


def test_half_written_stages_and_records_are_not_taken_for_whole(run: Run, home: Home) -> None:
    undisturbed = run("--n", "24").json
    (stage,) = home.data.glob("real-*")
    (stage / "done.json").unlink()
    (stage / "00000").rename(stage / ".00000-12345678")
    (stage / ".00000-12345678" / "index.parquet").unlink()
    record = home.run(undisturbed["run_id"]) / "record.json"
    record.write_bytes(record.read_bytes()[:100])
    again = run("--n", "24").json
    assert again["scores"] == undisturbed["scores"]
    assert sorted(path.name for path in stage.iterdir() if path.is_dir()) == ["00000"]


@pytest.mark.slow
@pytest.mark.parametrize("size", ["60k", "150k", "250k", "400k"])
def test_a_full_disk_is_one_line_and_the_run_continues_when_there_is_room(
    run: Run, home: Home, mounted: Any, size: str
) -> None:
    mounted(home.root, f"size={size}")
    done = run("--n", "24")
    assert done.code == 1
    assert done.complaint.startswith("the disk is full")
    assert done.out == ""
    subprocess.run(["mount", "-o", "remount,size=64m", str(home.root)], check=True)
    continued = run("--n", "24")
    assert continued.code == 0, continued.err
    subprocess.run(["umount", "--lazy", str(home.root)], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(home.root)], check=True)
    assert run("--n", "24").json["scores"] == continued.json["scores"]


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_continue(home: Home, preset: Path, colours: Path) -> None:
    words = request(preset, colours, "--n", "24", "--set", "train.epochs=2000")
    process = subprocess.Popen(
        command(*words),
        env=environment(home.root), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(home.data.glob("real-*/done.json")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "bench: error: interrupted; the same command continues"
    assert "Traceback" not in err
    assert out == ""
