"""An outside package, installed as a stranger would, and files of one's own."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Bench, Outcome

PACKAGE = ROOT / "tests" / "extension"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed into; it is built from a copy of its own."""
    folder = tmp_path_factory.mktemp("extension")
    source, target = folder / "source", folder / "target"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    pip += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    done = subprocess.run([*pip, str(source)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def arguments(preset: Path, task: Path, *more: str) -> list[str]:
    words = ["run", "--preset", str(preset), "--source", "brightest", "--task", str(task)]
    return [*words, "--json", *more]


def check(done: Outcome) -> None:
    assert done.code == 0, done.err
    record, n = done.json, done.json["n"]
    assert (record["status"], record["spec"]["source"]) == ("done", "brightest")
    assert record["spec"]["options"] == {"above": 90.0}
    assert 0 < n["used"] == n["kept"] < n["matched"]


@pytest.mark.slow
def test_an_installed_package_adds_a_source(
    bench_process: Bench, installed: Path, preset: Path, colours: Path
) -> None:
    path = f"{ROOT}:{installed}"
    listed = bench_process("list", "sources", PYTHONPATH=path)
    (line,) = (line for line in listed.out.splitlines() if line.startswith("brightest "))
    assert line.endswith("  Training images whose mean brightness is above a threshold.")
    words = arguments(preset, colours, "--set", "source.above=90")
    check(bench_process(*words, PYTHONPATH=path))
    shown = bench_process("show", "brightest", PYTHONPATH=path)
    assert "  above = 0.0  (number)\n      Mean brightness, 0 to 255.\n" in shown.out
    assert "rotation" in bench_process("list", "objectives", PYTHONPATH=path).out.split()


def test_without_the_package_its_name_is_unknown(bench: Bench, preset: Path, colours: Path) -> None:
    done = bench(*arguments(preset, colours))
    assert done.code == 2
    assert "unknown source 'brightest'" in done.complaint


def test_a_file_of_ones_own_adds_a_source(
    bench_process: Bench, tmp_path: Path, preset: Path, colours: Path
) -> None:
    shutil.copy(PACKAGE / "brightest_images.py", tmp_path / "mine.py")
    words = arguments(preset, colours, "--plugin", "./mine.py", "--set")
    check(bench_process(*words, "source.above=90"))
    done = bench_process(*words, "source.abov=90")
    assert done.code == 2
    assert "unknown setting of the source brightest 'abov'; did you mean above?" in done.complaint


KILLED_ONCE = """

import os
import signal
from pathlib import Path

from adapt import save_policy, training

save_policy.SAVE_SECONDS, save_policy.SAVE_SHARE, training.CHECK_STEPS = 0.0, float("inf"), 1
encode = Rotation.encode


def encode_or_end(objective, batch, step):
    if step == 4 and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(objective, batch, step)


Rotation.encode = encode_or_end
"""
"""The fifth step of six, once: two of three steps of the second epoch are left."""


def rotation(preset: Path, colours: Path, *more: str) -> list[str]:
    """Return words that train by the outside objective, and judge by what needs no head."""
    words = ["run", "--preset", str(preset), "--source", "folder", "--task", str(colours)]
    words += ["--set", f"source.path={colours / 'train'}", "--n", "24", "--objective", "rotation"]
    words += ["--set", "evaluators.zero-shot=null", "--set", "evaluators.knn={}"]
    return [*words, "--set", "train.select_by=knn", "--json", *more]


@pytest.mark.slow
def test_an_objective_of_ones_own_trains_is_killed_continues_and_is_judged(
    bench_process: Bench, tmp_path: Path, preset: Path, colours: Path
) -> None:
    code = (PACKAGE / "rotation.py").read_text()
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "mortal.py").write_text(code + KILLED_ONCE)
    smooth = ["--set", "objective.smoothing=0.1", "--plugin"]
    undisturbed = bench_process(*rotation(preset, colours, *smooth, "./mine.py"))
    assert undisturbed.code == 0, undisturbed.err
    words = rotation(preset, colours, *smooth, "./mortal.py")
    other = tmp_path / "other"
    assert bench_process(*words, home_=other).code == -signal.SIGKILL
    assert list(other.glob("runs/*/checkpoints/*"))
    continued = bench_process(*words, home_=other)
    assert continued.code == 0, continued.err

    def result(done: Outcome) -> tuple[object, ...]:
        record = done.json
        history = [
            {name: value for name, value in epoch.items() if not name.endswith("_seconds")}
            for epoch in record["selection"]["history"]
        ]
        return record["run_id"], record["scores"], history

    assert result(continued) == result(undisturbed)
    record = undisturbed.json
    assert record["spec"]["objective_options"] == {"smoothing": 0.1}
    assert {score["evaluator"] for score in record["scores"]} == {"knn"}
    last = record["selection"]["history"][-1]
    assert 0 <= last["parts"]["right"] <= 1
    assert last["loss"] > 0


def test_an_objective_without_a_trained_head_is_not_judged_by_it(
    bench_process: Bench, tmp_path: Path, preset: Path, colours: Path
) -> None:
    plugin = ["--plugin", str(PACKAGE / "rotation.py"), "--set", "evaluators.zero-shot={}"]
    refused = bench_process(*rotation(preset, colours, *plugin))
    assert refused.code == 2
    assert "zero-shot" in refused.complaint
    assert "rotation" in refused.complaint
    wrong = bench_process(*rotation(preset, colours, *plugin[:2], "--set", "objective.smooth=1"))
    assert wrong.code == 2
    assert "did you mean smoothing?" in wrong.complaint


@pytest.mark.parametrize(
    ("guide", "file"),
    [("adding-a-source.md", "brightest_images.py"), ("objectives.md", "rotation.py")],
)
def test_the_guides_show_the_files_that_are_tested(guide: str, file: str) -> None:
    text = (ROOT / "docs" / guide).read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert code == (PACKAGE / file).read_text()


def test_the_guide_shows_how_a_package_is_declared() -> None:
    guide = (ROOT / "docs" / "adding-a-source.md").read_text()
    (entry,) = re.findall(r"^ *```toml\n(.*?)^ *```$", guide, re.MULTILINE | re.DOTALL)
    project = (PACKAGE / "pyproject.toml").read_text()
    assert all(line.strip() in project for line in entry.splitlines())
