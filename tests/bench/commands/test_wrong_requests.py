"""Wrong requests: one line that says what to do, exit code 2, and nothing left behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.core.paths import Home
from tests.conftest import ROOT, Bench, Outcome

Run = Callable[..., Outcome]

RUN = "run --source real --task aircraft"
DEMO = "sweep studies/demo.yaml"
WRONG = [
    ("rum", "unknown command 'rum'; did you mean run?"),
    ("run", "Missing option"),
    (f"{RUN} --speed 3", "No such option"),
    ("run --source reel --task aircraft", "unknown source 'reel'; did you mean real?"),
    ("run --source real --task aircarft", "unknown task 'aircarft'; did you mean"),
    ("run --source real --task path/to/birds", "there is no folder path/to/birds here"),
    ("task check path/to/birds", "there is no folder path/to/birds here"),
    (f"{RUN} --preset minni", "preset 'minni'; did you mean mini"),
    (f"{RUN} --preset no.yaml", "unknown preset 'no.yaml'"),
    (f"{RUN} --objective cee", "objective 'cee'; did you mean ce"),
    (f"{RUN} --objective ''", "unknown objective ''"),
    (f"{RUN} --objective ce --set objective=clip", "both name the objective; leave out one"),
    (f"{RUN} --n many", "'many'"),
    (f"{RUN} --n 0", "'0'"),
    (f"{RUN} --n=", "''"),
    (f"{RUN} --seed x", "'x' is not a valid integer"),
    (f"{RUN} --seed -1", "seed"),
    (f"{RUN} --set train.lrr=1", "did you mean lr"),
    (f"{RUN} --set train.epochs=x", "epochs"),
    (f"{RUN} --set train", "train"),
    (f"{RUN} --set evaluators.zeroshot={{}}", "did you mean zero-shot"),
    (f"{RUN} --set train.select_by=knn", "'knn'"),
    (
        f"{RUN} --set model=no-clip",
        "give a folder or what `bench fetch --model` has",
    ),
    (f"{RUN} --plugin none.py", "none.py is not a Python file"),
    (f"{RUN} --wait", "--wait has no effect with --on debug; add --on slurm"),
    (f"{RUN} --on local --json", "--json"),
    ("run --source folder --task aircraft", "path"),
    ("run --source folder --task aircraft --set source.path=/nowhere", "'/nowhere'"),
    ("run --source retrieved --task aircraft --set source.pool=laion", "pool 'laion'"),
    ("build --source real --task aircraft --shards x", "--shards 3"),
    ("build --source real --task aircraft --shards 3-1", "--shards 3"),
    ("sweep nothing.yaml", "cannot read nothing.yaml"),
    (f"{DEMO} --on slrum", "unknown executor 'slrum'; did you mean slurm?"),
    (f"{DEMO} --parallel 0", "--parallel"),
    (f"{DEMO} --on debug --parallel 4", "--parallel 4 has no effect with --on debug"),
    (f"{DEMO} --wait", "--wait has no effect with --on local; add --on slurm"),
    (f"{DEMO} --on local --slurm partition=gpu", "add --on slurm"),
    (f"{DEMO} --on slurm --slurm partitoin=gpu", "did you mean partition"),
    (f"{DEMO} --on slurm --profile no.yaml", "cannot read no.yaml"),
    ("status nothing", "unknown study"),
    ("retry nothing", "unknown study"),
    ("cancel nothing", "unknown study"),
    ("logs nothing", "unknown run"),
    ("report --settings per-seed", "'per-seed' is not one of"),
    ("list tusks", "'tusks' is not one of"),
    ("show relrieved", "did you mean retrieved?"),
    ("fetch", "--model NAME, --task NAME, --pool NAME or --study FILE"),
    ("fetch --task cars", "official address"),
    ("fetch --model clip-b", "unknown model to fetch"),
    ("fetch --model lab/tiny", "ORG/NAME@REVISION"),
    ("fetch --task boats", "unknown task to fetch"),
]


@pytest.mark.parametrize(("words", "why"), WRONG, ids=[words for words, _ in WRONG])
def test_a_wrong_request_is_one_line_and_leaves_nothing(
    bench: Bench, home: Home, preset: Path, monkeypatch: pytest.MonkeyPatch, words: str, why: str
) -> None:
    monkeypatch.chdir(ROOT)
    arguments = words.split()
    if arguments[0] in ("run", "build") and "--preset" not in arguments and len(arguments) > 1:
        arguments += ["--preset", str(preset)]
    done = bench(*arguments)
    assert (done.code, done.out) == (2, "")
    assert why in done.complaint
    assert not home.root.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 is supported here")
def test_fp16_without_cuda_is_refused_before_any_work(run: Run, home: Home) -> None:
    done = run("--set", "train.precision=fp16")
    assert done.code == 2
    assert "train.precision=fp16" in done.complaint
    assert list(home.runs.glob("*")) == []


@pytest.mark.parametrize("source", ["none", "real", "retrieved", "synthetic", "mixed"])
def test_the_paper_preset_stops_before_any_work_with_the_remedy(
    bench: Bench, home: Home, tiny_clip: Path, source: str
) -> None:
    done = bench("run", "--source", source, "--task", "aircraft", "--n", "250k", "--json")
    assert (done.code, done.out) == (2, "")
    assert all(part in done.complaint for part in ("fetch", "--preset mini"))
    # With a model, the data of the published task is asked for.
    done = bench("run", "--source", source, "--task", "aircraft", "--set", f"model={tiny_clip}")
    assert done.code == 2
    assert source != "none" or "bench fetch --task aircraft" in done.complaint
    assert not home.root.exists()


def test_asking_for_too_many_says_how_many_there_are(run: Run, home: Home) -> None:
    done = run("--n", "25")
    assert (done.code, done.out) == (2, "")
    assert "ask for --n 24 or fewer, or --n all" in done.complaint
    (record,) = home.runs.glob("*/record.json")
    assert json.loads(record.read_text())["status"] == "failed"
    assert run("--n", "all").json["n"]["used"] == 24


def test_a_home_that_cannot_be_written_is_a_wrong_request(run: Run, home: Home) -> None:
    home.root.write_text("a file where the folder should be")
    done = run()
    assert done.code == 2
    assert all(part in done.complaint for part in (str(home.root), "set BENCH_HOME"))


def test_a_read_only_home_is_a_wrong_request(run: Run, home: Home, mounted: Any) -> None:
    mounted(home.root, "ro,size=64k")
    done = run()
    assert done.code == 2
    assert "Read-only file system; set BENCH_HOME" in done.complaint


def test_a_place_that_cannot_be_written_is_a_wrong_request(
    run: Run, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("not a folder")
    assert run().code == 0
    for words, why in (
        ("export --out file/x.csv", "there is no folder file for x.csv"),
        ("export --out file/a/x.csv", "there is no folder file/a for x.csv"),
        ("export --out .", "'--out': File '.' is a directory"),
        ("report --out file", "'--out': Directory 'file' is a file"),
        ("report --out file/a", "no access to file/a: Not a directory"),
    ):
        done = bench(*words.split())
        assert (done.code, done.out) == (2, ""), words
        assert why in done.complaint


def test_results_cannot_go_to_a_read_only_place(
    run: Run, bench: Bench, mounted: Any, tmp_path: Path
) -> None:
    place = mounted(tmp_path / "fixed", "ro,size=64k")
    assert run().code == 0
    for words in (["export", "--out", f"{place}/x.csv"], ["report", "--out", f"{place}/a"]):
        done = bench(*words)
        assert (done.code, done.out) == (2, "")
        assert "Read-only file system" in done.complaint


@pytest.mark.parametrize("setting", ["model", "source.filter.model"])
def test_a_model_that_cannot_be_loaded_is_refused_before_any_work(
    bench: Bench, tmp_path: Path, home: Home, setting: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text('{"model_cfg": {"vision_cfg": {}}}')
    run = "run --preset mini --source retrieved --task aircraft --n 8 --set"
    refused = bench(*run.split(), f"{setting}={folder}")
    assert refused.code == 2
    assert f"the weights folder {folder} has no open_clip_model.safetensors" in refused.err
    (folder / "open_clip_model.safetensors").touch()
    refused = bench(*run.split(), f"{setting}={folder}")
    assert "is not open_clip's: KeyError 'image_size'" in refused.err
    assert refused.code == 2
    assert not list(home.data.glob("scan-*"))
