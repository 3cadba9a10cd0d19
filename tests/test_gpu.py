"""`python -m tests.gpu`: every line runs on a CPU, nothing found is lost, wheels do without pip."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from adapt.data import DECODED_BYTES
from bench.core.specs import TrainSpec
from docs.costs import EMBED, GENERATE, embedding, generation, read_report
from docs.gpu_figures import DEFAULTS, defaults, figures
from tests.conftest import ROOT
from tests.gpu.__main__ import NAMED, PARTS, earlier_parts, prepared
from tests.gpu.measure import Check, Figure
from tests.gpu.table import table
from tests.gpu.training import SMALLEST_BATCH, TINY, BareStep, Networks, Size, batches
from tests.gpu.wheels import IMPORTED, LIST, lacking, listed, unpack_missing


def gpu(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m tests.gpu`."""
    return subprocess.run(
        [sys.executable, "-m", "tests.gpu", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow(minutes=4)
def test_every_part_runs_on_a_cpu(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    ended = gpu("--device", "cpu", "--tiny", "--out", str(out))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads(out.read_text())
    assert list(report["parts"]) == list(PARTS)
    for name, part in report["parts"].items():
        kinds = [line["kind"] for line in part["results"]]
        assert kinds[0] == "Machine", name
        assert kinds[-1] == "End", name
        assert "Figure" in kinds, name
        assert name in ended.stdout
    check_names(report)


def check_names(report: dict[str, Any]) -> None:
    """Make sure that what the docs read of a report is in it, and that no two have one name."""
    read = {(part, sizeless(name)) for _, _, part, names in DEFAULTS for name in names}
    read |= {(part, sizeless(name)) for part, name in (EMBED, GENERATE)}
    for part, told in report["parts"].items():
        names = [line["name"] for line in told["results"] if line["kind"] == "Figure"]
        assert len(set(names)) == len(names), part
        # Only CUDA trains in TF32.
        wanted = {name for of, name in read if of == part and name != "tf32"}
        assert wanted <= set(map(sizeless, names))


def sizeless(name: str) -> str:
    """Return a figure's name without the sizes, which are smaller on a CPU."""
    return re.sub(r"batch \d+", "batch N", re.sub(r"\d+ steps", "N steps", name))


def test_parts_can_be_named(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    ended = gpu("ceilings", "--device", "cpu", "--tiny", "--out", str(out))
    assert ended.returncode == 0, ended.stderr
    assert list(json.loads(out.read_text())["parts"]) == ["ceilings"]
    assert re.search(r"ceilings: passed, \d+ s of \d+", ended.stdout)
    assert re.search(r"product of 128 x 128 matrices, bf16 +\S+ TFLOP/s", ended.stdout)


@pytest.mark.slow(minutes=5)
@pytest.mark.parametrize("part", NAMED)
def test_what_is_compiled_is_run_where_it_is_named(part: str, tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    ended = gpu(part, "--device", "cpu", "--tiny", "--out", str(out))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    check_names(json.loads(out.read_text()))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["trian"], "there is no part 'trian'; choose from ceilings"),
        (
            ["--device", "cpu", "--out", "nowhere/g.json"],
            "nowhere/g.json cannot be written: No such",
        ),
        (["--device", "cpu", "--out", "/proc/gpu.json"], "/proc/gpu.json cannot be written"),
        (["ceilings", "--device", "cpu", "--tiny", "--out", "docs"], "docs is a folder"),
        (["ceilings", "--device", "cpu", "--tiny", "--out", "."], ". is a folder"),
        ([], "nvidia-smi names no GPU here"),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], why: str) -> None:
    ended = gpu(*arguments, PATH="")
    assert ended.returncode == 2
    assert why in ended.stderr


def test_a_python_without_torch_is_told_so() -> None:
    command = [sys.executable, "-S", "-m", "tests.gpu", "--device", "cpu"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "has no torch; give another: make gpu PYTHON=" in ended.stderr


def test_a_card_that_torch_cannot_use_is_told_at_once(tmp_path: Path) -> None:
    told = tmp_path / "nvidia-smi"
    told.write_text("#!/bin/sh\necho 580.1\necho 580.1\n")
    told.chmod(0o755)
    ended = gpu("ceilings", PATH=f"{tmp_path}:{os.environ['PATH']}", CUDA_VISIBLE_DEVICES="")
    assert ended.returncode == 2
    assert "torch cannot use the card: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_python_without_the_packages_is_told_which(tmp_path: Path) -> None:
    """It has torch alone, told by its metadata."""
    about = tmp_path / "torch-2.9.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.9a0+git1\n")
    command = [sys.executable, "-S", "-m", "tests.gpu", "embed", "--device", "cpu"]
    ended = subprocess.run(
        [*command, "--wheels", str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert ended.returncode == 2
    assert f"without {', '.join(IMPORTED)} only ceilings can run" in ended.stderr


def test_what_the_parts_import_can_be_carried(tmp_path: Path) -> None:
    names = {requirement.split("==")[0] for _, requirement in listed()} | {"torchvision"}
    assert set(IMPORTED) <= names
    assert lacking(tmp_path) == []


def test_what_a_part_found_before_it_failed_is_kept(tmp_path: Path) -> None:
    """An environment whose products of matrices fail: the copy was measured before."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if sys.argv[0] == '-m':\n"
        "    import torch\n"
        "    def mm(*_): raise RuntimeError('planted')\n"
        "    torch.mm = mm\n"
    )
    out = tmp_path / "gpu.json"
    ended = gpu(
        "ceilings", "--device", "cpu", "--tiny", "--out", str(out), PYTHONPATH=str(tmp_path)
    )
    assert ended.returncode == 1
    assert "ceilings: ended with exit status 1" in ended.stdout
    part = json.loads(out.read_text())["parts"]["ceilings"]
    assert [line["name"] for line in part["results"] if line["kind"] == "Figure"] == [
        "copy within the device, read and written"
    ]


def test_threads_wait_as_those_of_bench_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert prepared(tmp_path, tmp_path)["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert prepared(tmp_path, tmp_path)["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_check_that_is_not_a_number_does_not_hold() -> None:
    assert Check("error", 1e-3, 1e-3).holds
    assert not Check("error", 2e-3, 1e-3).holds
    assert not Check("error", float("nan"), 1e-3).holds


def test_a_ratio_is_taken_turn_by_turn() -> None:
    assert Figure("loop", "images/s", [10, 40, 90], [10, 50, 100]).ratio == 0.9
    assert Figure("loop", "images/s", [10, 40, 90]).ratio is None


def test_the_table_says_what_does_not_hold() -> None:
    check = {"kind": "Check", "name": "cosine", "value": 0.5, "limit": 1e-3, "holds": False}
    machine = {"kind": "Machine", "device": "NVIDIA X", "cores": 16, "packages": {"torch": "2.9"}}
    part = {"seconds": 3.2, "budget": 20, "failure": None, "passed": False}
    report = {"commit": "abc", "date": "2026-11-28", "driver": "580", "tiny": False}
    text = table({**report, "parts": {"embed": {**part, "results": [machine, check]}}})
    assert text.startswith("NVIDIA X, 16 cores, driver 580, torch 2.9, commit abc, 2026-11-28\n")
    assert "embed: NOT passed, 3 s of 20" in text
    assert re.search(r"cosine +0\.5 +DOES NOT HOLD: at most 0\.001", text)


def test_the_docs_take_over_what_was_measured() -> None:
    assert "none yet" in figures(None)
    assert "measured none of it" in embedding(None)
    assert "measured none of it" in generation(None)
    machine = {"kind": "Machine", "device": "NVIDIA X", "cores": 16, "packages": {"torch": "2.9"}}
    report: dict[str, Any] = {"commit": "abc", "date": "2026-11-28", "driver": "", "tiny": False}
    state = {"seconds": 3.2, "budget": 20, "failure": None, "passed": True}
    report["parts"] = {
        part: {**state, "results": [machine, figure(name, rate)]}
        for (part, name), rate in ((EMBED, 4000.0), (GENERATE, 10.0))
    }
    assert "One NVIDIA X embeds 4,000 images" in embedding(report)
    assert "| embed, one GPU | 106 s | 66 s | 66 s | 25 min |" in embedding(report)
    assert "| 0.100 | 69 | 1.1 |" in generation(report)
    assert "1,000 images, 100 s of such a GPU." in generation(report)
    assert "NVIDIA X, 16 cores, torch 2.9, commit abc, 2026-11-28." in figures(report)
    assert "not measured on CUDA" in defaults(report)
    for part in report["parts"].values():
        part["passed"] = False
    assert embedding(report) == embedding(None)
    assert generation(report) == generation(None)


def test_the_docs_refuse_a_report_of_no_card(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    assert read_report(path) is None
    for tiny, device, refused in (
        (True, "NVIDIA X", True), (False, "cpu", True), (False, "NVIDIA X", False),
    ):  # fmt: skip
        results = [{"kind": "Machine", "device": device}]
        path.write_text(json.dumps({"tiny": tiny, "parts": {"train": {"results": results}}}))
        if not refused:
            assert read_report(path)
            continue
        with pytest.raises(ValueError, match="of no card, or of the smallest sizes"):
            read_report(path)
    for parts, refused in (({"a": []}, True), ({"a": [], "b": [{"device": "NVIDIA X"}]}, False)):
        told = {name: {"results": results} for name, results in parts.items()}
        path.write_text(json.dumps({"tiny": False, "parts": told}))
        if not refused:
            assert read_report(path), "the first part failed at once, the second did not"
            continue
        with pytest.raises(ValueError, match="of no card"):
            read_report(path)


def figure(name: str, rate: float) -> dict[str, object]:
    """Return a figure as a report has it."""
    values = {"values": [rate], "floor": [], "of": "", "goal": None, "ratio": None}
    return {"kind": "Figure", "name": name, "unit": "images/s", "median": rate, **values}


def test_only_missing_packages_are_unpacked(tmp_path: Path) -> None:
    for name in ("msgspec", "nowhere_else"):
        path = tmp_path / "wheels" / "1" / f"{name}-1.0-py3-none-any.whl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "VERSION = 'carried'")
            wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Name: {name}\nVersion: 1.0\n")
    assert unpack_missing(tmp_path / "wheels", tmp_path / "site") == ["nowhere_else"]
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == [
        "nowhere_else", "nowhere_else-1.0.dist-info",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("x-1-cp399-cp399-manylinux1_x86_64.whl", b"", "is for another Python: fetch them with"),
        ("x-1-py3-none-any.whl", b"PK cut short", "is damaged: carry it here again"),
        ("x-1-py3-none-any.whl", "flipped", "is damaged: carry it here again"),
        ("x-1-py3-none-manylinux1_z80.whl", b"", "is for another processor than"),
        ("x.whl", b"", "is not named as a wheel"),
    ],
)
def test_wheels_of_no_use_are_named(
    tmp_path: Path, name: str, content: bytes | str, why: str
) -> None:
    path = tmp_path / "1" / name
    path.parent.mkdir()
    if isinstance(content, str):
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("x.py", content)
        content = path.read_bytes().replace(b"flipped", b"FLIPPED")
    path.write_bytes(content)
    ended = gpu("ceilings", "--device", "cpu", "--tiny", "--wheels", str(tmp_path))
    assert ended.returncode == 2
    assert f"{path} {why}" in ended.stderr


def test_an_interrupted_run_shows_what_it_found(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "tests.gpu", "ceilings", "embed", "--device", "cpu", "--tiny"]
    with subprocess.Popen(
        [*command, "--out", str(out)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as running:  # fmt: skip
        while not out.exists():
            assert running.poll() is None
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        told, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "ceilings: passed" in told
    assert json.loads(out.read_text())["parts"]["ceilings"]["passed"]


def test_a_part_that_is_ended_early_keeps_what_it_found(tmp_path: Path) -> None:
    """An environment whose products of matrices never end: the copy was measured before."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if sys.argv[0] == '-m':\n"
        "    import pathlib, time, torch\n"
        "    def mm(*_):\n"
        f"        pathlib.Path({str(tmp_path / 'reached')!r}).touch()\n"
        "        time.sleep(90)\n"
        "    torch.mm = mm\n"
    )
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "tests.gpu", "ceilings", "--device", "cpu", "--tiny"]
    with subprocess.Popen(
        [*command, "--out", str(out)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    ) as running:  # fmt: skip
        while not (tmp_path / "reached").exists():
            assert running.poll() is None
            time.sleep(0.05)
        running.terminate()
        told, _ = running.communicate(timeout=60)  # Its worker holds these pipes, too.
    assert running.returncode == 130
    assert "ceilings: interrupted" in told
    assert "copy within the device" in told
    assert json.loads(out.read_text())["parts"]["ceilings"]["failure"] == "interrupted"


def test_parts_are_added_to_a_report_of_the_same_code(tmp_path: Path) -> None:
    path, key = tmp_path / "gpu.json", {"driver": "580", "device": "cuda", "tiny": False}
    path.write_text(json.dumps({**key, "commit": "abc", "parts": {"train": {}}}))
    assert earlier_parts(path, {**key, "commit": "abc"}) == {"train": {}}
    for change in (
        {"commit": "xyz"}, {"commit": "abc-dirty"}, {"commit": ""}, {"driver": "1"},
        {"device": "cpu"}, {"tiny": True},
    ):  # fmt: skip
        assert earlier_parts(path, {**key, "commit": "abc", **change}) == {}
    for content in ("", "[]", "{}", '{"parts": 1'):
        path.write_text(content)
        assert earlier_parts(path, {**key, "commit": "abc"}) == {}


def test_a_smaller_card_takes_smaller_batches_of_as_many_images() -> None:
    whole = Size()
    assert whole.fitting(85e9) == whole
    for memory, batch in ((25e9, 128), (8e9, SMALLEST_BATCH)):
        fitting = whole.fitting(memory)
        assert fitting.batch == batch
        assert fitting.batch * fitting.steps == whole.batch * whole.steps
        assert fitting.batch * fitting.steps * 3 * fitting.stored**2 > DECODED_BYTES


def test_adamw_that_is_not_fused_is_torchs_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def default(*_: object, **__: object) -> tuple[bool, bool]:
        asked.append(True)
        return False, True

    # torch hides the module behind the class.
    adam = sys.modules["torch.optim.adam"]
    monkeypatch.setattr(adam, "_default_to_fused_or_foreach", default)
    cpu = torch.device("cpu")
    networks, (batch,) = Networks(TINY, cpu), batches(TINY, 1, 2, cpu)
    for fused in (True, False):
        BareStep(networks.make(), TrainSpec(), fused=fused)(*batch)
    assert asked == [True]


def test_each_lot_of_wheels_is_below_50_megabytes() -> None:
    rows = [line.split() for line in LIST.read_text().splitlines() if not line.startswith("#")]
    for lot in {row[0] for row in rows}:
        assert sum(float(row[2]) for row in rows if row[0] == lot) < 50


def test_the_wheels_are_the_versions_that_were_checked_together() -> None:
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    known = {name.lower().replace("-", "_"): version for name, version in pinned.items()}
    others = []
    for _, requirement in listed():
        name, version = requirement.split("==")
        if known.get(name.lower().replace("-", "_"), version) != version:
            others.append(requirement)
    # The oldest that the project takes is the newest below 50 MB.
    assert others == ["polars==1.30.0"]
