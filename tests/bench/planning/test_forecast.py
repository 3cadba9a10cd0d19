"""The dry run of a study: its runs, and a forecast from what earlier runs measured."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bench.core.paths import Home
from bench.storage.run_folder import summaries
from tests.conftest import Bench
from tests.support.command_line import request

SHARED = ("validate", "load", "evaluate")


@pytest.fixture
def plan(bench: Bench, tmp_path: Path, preset: Path, colours: Path) -> Any:
    """Return what does the dry run of a study of some axes."""

    def planned(words: tuple[str, ...] = ("--dry-run", "--json"), **axes: Any) -> Any:
        path = tmp_path / "study.yaml"
        axes = {"task": str(colours), "source": "real", "seed": [0, 1], **axes}
        path.write_text(yaml.safe_dump({"preset": str(preset), "grid": [{"product": axes}]}))
        done = bench("sweep", str(path), *words)
        assert done.code == 0, done.err
        return done.json if "--json" in words else done.out

    return planned


@pytest.fixture
def record(bench: Bench, home: Home, preset: Path, colours: Path) -> Any:
    """The record of one run in this home, of six images and the preset's two epochs."""
    done = bench(*request(preset, colours, "--n", "6"))
    assert done.code == 0, done.err
    return done.json


def hours_of(planned: Any) -> Any:
    """Return the hours on the one device of a forecast."""
    (hours,) = planned["forecast"]["hours"].values()
    return hours


def write(home: Home, run_id: str, record: Any) -> None:
    folder = home.run(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").write_text(json.dumps({**record, "run_id": run_id}))


def test_in_an_empty_home_all_is_unknown_and_nothing_is_written(plan: Any, home: Home) -> None:
    forecast = plan(n=[6, 9])["forecast"]
    assert (forecast["runs"], forecast["done"], forecast["failed"]) == (4, 0, 0)
    assert forecast["trained"] == 2 * 2 * (6 + 9)
    assert forecast["hours"] == {}
    for name in ("disk_bytes", "files"):
        assert forecast[name]["measurements"] == 0
        assert any("making real images" in what for what in forecast[name]["unknown"])
    assert plan(("--dry-run",), n=[6, 9]).count("unknown") == 3
    assert not home.root.exists()


def test_a_cost_is_work_times_measured_rates(plan: Any, record: Any, home: Home) -> None:
    answer = plan(n=[6, 9])
    assert sorted(run["status"] for run in answer["runs"]) == ["done"] + ["to do"] * 3
    forecast = answer["forecast"]
    assert (forecast["done"], forecast["images"]) == (1, [])
    taken = 2 * (6 + 9 + 9)
    assert (forecast["trained"], forecast["trained_at_least"]) == (taken, False)
    seconds = taken / record["images_per_second"]
    seconds += 3 * sum(record["timings"][name] for name in SHARED)
    hours = hours_of(answer)
    assert hours["expected"] == pytest.approx(seconds / 3600)
    assert hours["low"] == hours["expected"] == hours["high"]
    assert (hours["measurements"], hours["unknown"]) == (1, [])
    files = [path for path in home.run(record["run_id"]).rglob("*") if path.is_file()]
    assert forecast["files"]["expected"] == 3 * len(files)
    assert forecast["disk_bytes"]["expected"] == 3 * sum(path.stat().st_size for path in files)


def test_all_of_a_source_is_as_many_as_a_run_found_there(plan: Any, record: Any) -> None:
    forecast = plan(n="all", seed=0)["forecast"]
    assert forecast["trained"] == 2 * record["n"]["kept"]
    assert not forecast["trained_at_least"]
    other = plan(n="all", seed=0, task="mini-cars")["forecast"]
    assert (other["trained"], other["trained_at_least"]) == (0, True)


def test_what_was_not_measured_is_named_and_not_counted_as_nothing(plan: Any, record: Any) -> None:
    planned = plan(n=6, seed=0, task="mini-cars")
    parts = ("making real images", "validating", "evaluating")
    assert set(hours_of(planned)["unknown"]) == {f"{part}: mini-cars" for part in parts}
    made = {"task": "mini-cars", "source": "real", "images": 6, "at_least": True}
    assert planned["forecast"]["images"] == [made]
    text = plan(("--dry-run",), n=6, seed=0, task="mini-cars")
    said = "CPU time      at least", "validating (mini-cars)", "each part measured once or more"
    assert all(part in text for part in said), text


def test_images_of_other_captions_or_guidance_are_counted_each(
    bench: Bench, tmp_path: Path
) -> None:
    path = tmp_path / "study.yaml"

    def images(**others: Any) -> int:
        axes = {"task": "cars", "source": "synthetic", "n": [64, 96], **others}
        path.write_text(yaml.safe_dump({"preset": "mini", "grid": [{"product": axes}]}))
        (made,) = bench("sweep", str(path), "--dry-run", "--json").json["forecast"]["images"]
        return int(made["images"])

    assert images(**{"source.size": [64, 96], "source.generation.batch_size": [16, 32]}) == 96
    assert images(**{"source.generation.guidance": [2.0, 3.0]}) == 2 * 96
    assert images(**{"source.images_per_caption": [1, 2], "source.seed": [0, 1]}) == 4 * 96


def test_the_speed_of_one_objective_says_nothing_of_another(plan: Any, record: Any) -> None:
    kept: Any = {"evaluators.zero-shot": None, "evaluators.linear-probe": [{}]}
    chosen = {"train.select_by": "linear-probe"}
    planned = plan(n=8, seed=0, objective="simclr", **kept, **chosen)
    model = record["spec"]["model"]
    assert f"training: {model} by simclr in fp32" in hours_of(planned)["unknown"]


def test_a_training_of_so_many_steps_takes_the_same_of_any_number_of_images(plan: Any) -> None:
    steps: Any = {"train.steps": 10, "train.epochs": 2, "train.batch_size": 4, "seed": 0}
    forecast = plan(n="all", **steps)["forecast"]
    assert (forecast["trained"], forecast["trained_at_least"]) == (40, False)
    assert plan(n=6, **steps)["forecast"]["trained"] == 40


def test_only_the_run_that_made_the_images_says_what_they_take(
    plan: Any, record: Any, home: Home, bench: Bench, preset: Path, colours: Path
) -> None:
    def seconds() -> float:
        return float(hours_of(plan(n=6, seed=0, task="mini-cars"))["expected"]) * 3600

    training = 12 / record["images_per_second"]
    each = record["timings"]["source"] / record["n"]["fetched"]
    assert seconds() == pytest.approx(training + 6 * each)
    # The same images, built before any run of them.
    shutil.rmtree(home.root)
    words = request(preset, colours, "--n", "6")
    assert bench("build", *(word for word in words[1:] if word != "--json")).code == 0
    time.sleep(1.1)  # A record says to the second when its run began.
    late = bench(*words).json
    assert seconds() == pytest.approx(12 / late["images_per_second"])


def test_low_and_high_are_percentiles_of_what_runs_took(plan: Any, record: Any, home: Home) -> None:
    rates = np.linspace(10, 1000, 21)
    for index, rate in enumerate(rates[1:]):
        write(home, f"{index:012x}", {**record, "images_per_second": rate})
    write(home, record["run_id"], {**record, "images_per_second": rates[0]})
    hours = hours_of(plan(n=9, seed=0))
    judged = sum(record["timings"][name] for name in SHARED)
    for name, percentile in (("low", 10), ("expected", 50), ("high", 90)):
        seconds = 18 * np.percentile(1 / rates, percentile) + judged
        assert hours[name] == pytest.approx(seconds / 3600)
    assert hours["measurements"] == 21


def test_gpu_hours_count_every_gpu_that_a_run_held(plan: Any, record: Any, home: Home) -> None:
    alone = hours_of(plan(n=9, seed=0))
    write(home, record["run_id"], {**record, "device": "4 x NVIDIA A100"})
    hours = plan(n=9, seed=0)["forecast"]["hours"]
    assert hours["4 x NVIDIA A100"]["expected"] == pytest.approx(4 * alone["expected"])
    assert "on 4 x NVIDIA A100, all GPUs together" in plan(("--dry-run",), n=9, seed=0)


def test_a_failed_run_is_to_do_again_and_measures_nothing(
    plan: Any, record: Any, home: Home
) -> None:
    write(home, record["run_id"], {**record, "status": "failed", "error": "a reason"})
    answer = plan(n=6)
    assert [run["status"] for run in answer["runs"]] == ["failed", "to do"]
    assert (answer["forecast"]["failed"], answer["forecast"]["hours"]) == (1, {})
    assert "2 to do (1 failed before), 0 done" in plan(("--dry-run",), n=6)


def test_runs_are_told_apart_by_the_settings_in_which_they_differ(plan: Any) -> None:
    axes = {"source": ["real", "none"], "n": 6, "seed": 0, "train.lr": [0.1, 0.2]}
    answer = plan(**axes, **{"train.epochs": 3})
    shown = [(run["source"], run["settings"]) for run in answer["runs"]]
    assert shown == [(source, {"train.lr": lr}) for source in ("real", "none") for lr in (0.1, 0.2)]
    lines = plan(("--dry-run",), **axes).splitlines()
    assert [line.split()[-1] for line in lines[:4]] == ["train.lr=0.1", "train.lr=0.2"] * 2


def test_records_that_cannot_be_read_are_no_records(record: Any, home: Home, plan: Any) -> None:
    damaged = (b"", b"{", b"[" * 9999, b'{"status": "done"}')
    for run_id, content in zip("abcd", damaged, strict=True):
        home.run(run_id * 12).mkdir()
        (home.run(run_id * 12) / "record.json").write_bytes(content)
    home.run("e" * 12).mkdir()
    (home.runs / "a file").write_text("")
    write(home, "f" * 12, {**record, "started": "some day"})
    assert set(summaries(home)) == {record["run_id"], "f" * 12}
    assert set(summaries(home, {record["run_id"], "a" * 12, "../.."})) == {record["run_id"]}
    summary = summaries(home)[record["run_id"]]
    assert (summary.status, summary.spec.source, summary.n.used) == ("done", "real", 6)
    assert summary.timings == record["timings"]
    assert plan(n=9, seed=0)["forecast"]["done"] == 0
