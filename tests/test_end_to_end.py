"""Whole runs and studies in the embedded world, as a user runs them: real weights, server, pool."""

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from filelock import FileLock
from PIL import Image
from sklearn.datasets import load_digits

from adapt.batches.groups import grouped
from bench.plugins.objective import Needs
from tests.conftest import ROOT, Outcome, command, environment

pytestmark = pytest.mark.slow

STUDY = ROOT / "studies" / "quick.yaml"
NO_NETWORK = ROOT / "tests" / "support" / "no_network"


def call(home: Path, *words: str, **variables: str) -> Outcome:
    done = subprocess.run(
        command(*words),
        env=environment(home, **variables), cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


def records(home: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in home.glob("runs/*/record.json")]


def results(home: Path) -> dict[str, dict[str, Any]]:
    """Return each run's result, without its timings."""
    kept = ("status", "spec", "n", "image_set", "scores", "stage_counts", "weights", "fidelity")
    return {record["run_id"]: {name: record[name] for name in kept} for record in records(home)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the quick study ran in one go, without a network but loopback.

    Parallel test processes share it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "undisturbed"
    with FileLock(f"{shared}.lock"):
        if not (shared / "done").is_file():
            shared.mkdir(exist_ok=True)
            watched = {"PYTHONPATH": f"{NO_NETWORK}:{ROOT}", "CONNECTIONS": f"{shared}/connections"}
            outcome = call(shared / "home", "sweep", str(STUDY), "--on", "debug", **watched)
            assert outcome.code == 0, outcome.err
            (shared / "done").touch()
    return shared / "home"


def test_every_source_runs_and_is_scored(undisturbed: Path) -> None:
    by_source = {record["spec"]["source"]: record for record in records(undisturbed)}
    assert set(by_source) == {"none", "real", "retrieved", "synthetic", "mixed"}
    for source, record in by_source.items():
        assert record["status"] == "done"
        assert record["n"]["used"] == (0 if source == "none" else 60)
        captions = record["n"]["captions"]
        assert captions is None if source in {"none", "real"} else 0 < captions <= 60
        tested = {s["evaluator"] for s in record["scores"] if s["split"] == "test"}
        assert tested == {"linear-probe", "zero-shot"}
    assert by_source["synthetic"]["fidelity"]["domains"]["aircraft"]["generated"]["n"] > 0


def test_every_source_runs_without_a_network(undisturbed: Path) -> None:
    connections = (undisturbed.parent / "connections").read_text().splitlines()
    assert connections  # The miniature world's images come from a server on this machine.
    assert [line for line in connections if line.startswith("beyond")] == []


def test_retrieval_loses_images_at_every_step_and_says_why(undisturbed: Path) -> None:
    (record,) = [r for r in records(undisturbed) if r["spec"]["source"] == "retrieved"]
    counts, stages = record["n"], record["stage_counts"]
    assert counts["matched"] > counts["fetched"] > counts["kept"] > counts["used"]
    assert sum(stages["failed"].values()) == counts["matched"] - counts["fetched"]
    assert stages["below tau"] > 0
    assert stages["duplicates"]["copies of val or test images"] > 0


def test_generated_images_of_equal_texts_are_a_group(undisturbed: Path) -> None:
    (record,) = [r for r in records(undisturbed) if r["spec"]["source"] == "synthetic"]
    (index,) = [
        manifest.with_name("index.parquet")
        for manifest in undisturbed.glob("data/images-*/manifest.json")
        if json.loads(manifest.read_bytes())["content"] == record["image_set"]
    ]
    rows = pl.read_parquet(index)
    assert rows["caption_id"].n_unique() == rows.height
    found = grouped(rows, Needs(group="caption", per_group=2))
    texts = rows.group_by("label", "caption").len().filter(pl.col("len") > 1)
    assert 0 < found.rows.height == texts["len"].sum() < rows.height
    assert len(set(found.groups)) == texts.height


@pytest.mark.slow(minutes=3)
def test_a_study_killed_again_and_again_ends_with_the_same_results(
    undisturbed: Path, tmp_path: Path
) -> None:
    home, chance = tmp_path / "home", random.Random(1)
    kills = 0
    while True:
        process = subprocess.Popen(
            command("sweep", str(STUDY)),
            env=environment(home), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            # Longer each time, so that the study ends.
            code = process.wait(timeout=chance.uniform(8, 20) * (1 + kills / 2))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        break
    assert code == 0
    assert kills > 0
    assert results(home) == results(undisturbed)


def test_processes_of_their_own_give_the_same_results(undisturbed: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    outcome = call(home, "sweep", str(STUDY), "--on", "local", "--parallel", "2")
    assert outcome.code == 0, outcome.err
    assert results(home) == results(undisturbed)


def test_collect_report_and_export(undisturbed: Path, tmp_path: Path) -> None:
    assert "5 records" in call(undisturbed, "collect").out
    page = call(undisturbed, "report", "--out", str(tmp_path))
    assert page.code == 0, page.err
    html = (tmp_path / "report.html").read_text()
    assert "mini-aircraft" in html
    assert "not comparable with published numbers" in html
    table = tmp_path / "table.csv"
    assert call(undisturbed, "export", "--format", "csv", "--out", str(table)).code == 0
    assert "retrieved" in table.read_text()


def test_digits_from_a_folder_train_and_evaluate(tmp_path: Path) -> None:
    """scikit-learn's 8 x 8 handwritten digits: real images that we did not render."""
    digits, names = (
        load_digits(),
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    )
    for index, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        split = ("train", "train", "train", "val", "test")[index % 5]
        folder = tmp_path / "digits" / split / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15.9).astype(np.uint8)).save(folder / f"{index}.png")
    source = f"source.path={tmp_path / 'digits' / 'train'}"
    words = ["run", "--preset", "mini", "--source", "folder", "--set", source, "--json"]
    words += ["--task", str(tmp_path / "digits"), "--set", "train.epochs=4"]
    outcome = call(tmp_path / "home", *words)
    assert outcome.code == 0, outcome.err
    tested = [s for s in outcome.json["scores"] if s["split"] == "test"]
    scores = {s["evaluator"]: s["value"] for s in tested if s["metric"] == "accuracy"}
    # Guessing reads 10 %; the untrained probe alone reads most digits.
    assert scores["linear-probe"] > 0.7
    assert scores["zero-shot"] > 0.5


def test_the_commands_of_the_readme_run(undisturbed: Path, tmp_path: Path) -> None:
    """The preset `paper` stops with the remedy; fetching needs a network and is left out."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    joined = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    lines = [line for line in joined if "fetch" not in line]
    assert len(lines) >= 8
    home = tmp_path / "home"
    shutil.copytree(undisturbed, home)
    remedies = ("bench fetch", "--preset mini", "check the path")
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        if "results.md" in words:
            words[words.index("results.md")] = str(tmp_path / "results.md")
        started = time.monotonic()
        outcome = call(home, *words)
        if (words[0] == "run" and "mini" not in words) or "path/to" in line:
            assert outcome.code == 2, line
            assert any(remedy in outcome.complaint for remedy in remedies), outcome.complaint
            assert time.monotonic() - started < 60
        else:
            assert outcome.code == 0, f"{line}: {outcome.err}"
