"""Architectures without weights: trained from scratch, and refused for anything else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.core.files import fingerprint
from bench.core.model_names import FETCHED, RELEASED
from bench.core.paths import Home
from tests.conftest import ROOT, Bench, Outcome
from tests.support.command_line import refusal

Run = Callable[..., Outcome]

SCRATCH = ("--set", "train.init=scratch")
VIT = ("--set", "model=vit", *SCRATCH)
ARCHITECTURES = ROOT / "bench" / "miniworld" / "architectures"


def test_a_vit_is_trained_from_scratch_and_its_untrained_network_is_a_run(
    run: Run, home: Home
) -> None:
    record = run(*VIT).json
    assert record["status"] == "done"
    assert record["weights"] == "none"
    assert record["spec"]["model"] == "vit"
    assert record["spec"]["fingerprints"]["model"] == fingerprint(ARCHITECTURES / "vit")
    assert run(*VIT).json["finished"] == record["finished"]
    untrained = run("--source", "none", *VIT).json
    assert untrained["n"]["used"] == 0
    first, *_, last = record["selection"]["history"]
    assert untrained["selection"]["history"][0]["score"] == first["score"]
    assert last["epoch"] == 2
    assert not (home.data / "features").exists()


def test_an_architecture_of_ones_own_is_a_folder(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "deeper"
    shutil.copytree(ARCHITECTURES / "vit", folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["layers"] = 3
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    record = run("--set", f"model={folder}", *SCRATCH).json
    assert record["status"] == "done"
    assert record["spec"]["fingerprints"]["model"] == fingerprint(folder)
    assert run(*VIT).json["run_id"] != record["run_id"]


def test_an_architecture_has_nothing_to_adapt(run: Run, home: Home) -> None:
    refused = run("--set", "model=vit")
    assert (refused.code, refused.out) == (2, "")
    assert "vit is an architecture without weights" in refused.complaint
    assert "add --set train.init=scratch" in refused.complaint
    assert not home.root.exists()


def test_an_architecture_filters_no_images(bench: Bench, home: Home) -> None:
    why = refusal(bench, home, "retrieved", "filter.model=vit")
    assert "vit is an architecture without weights" in why
    assert "name a CLIP here" in why


def test_an_undeclared_folder_without_weights_is_a_broken_one(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(ARCHITECTURES / "vit", folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    del config["weights"]
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    refused = run("--set", f"model={folder}", *SCRATCH)
    assert refused.code == 2
    assert f"the weights folder {folder} has no open_clip_model.safetensors" in refused.complaint


def test_a_doctor_knows_an_architecture(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The doctor reads the shipped presets, so one is added to them.
    presets = tmp_path / "presets"
    shutil.copytree(ROOT / "bench" / "presets", presets)
    monkeypatch.setattr("bench.planning.preset._FOLDER", presets)
    content = (presets / "mini.yaml").read_text().replace("model: clip\ntrain", "model: vit\ntrain")
    (presets / "mini-vit.yaml").write_text(content)
    done = bench("doctor")
    assert done.code == 0
    assert "vit is here: an architecture without weights, trained from scratch" in done.out


def test_it_is_listed_and_shown_as_what_it_is(bench: Bench) -> None:
    lines = {line.split()[0]: line for line in bench("list", "models").out.splitlines()}
    assert "An architecture without weights" in lines["vit"]
    assert "Weights in" in lines["clip"]
    assert all(f"bench fetch --model {name}" in lines[name] for name in [*FETCHED, *RELEASED])
    assert "model vit: An architecture without weights" in bench("show", "vit").out


def test_the_vit_reads_the_texts_of_the_miniature_world() -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        own, clip = ARCHITECTURES / "vit" / name, ROOT / "bench/miniworld/weights/clip" / name
        assert own.read_bytes() == clip.read_bytes()
