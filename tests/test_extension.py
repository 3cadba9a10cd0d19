"""An outside package, installed as a stranger would, and a file of one's own."""

import re
import shutil
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
    assert "brightest" in listed.out.split()
    words = arguments(preset, colours, "--set", "source.above=90")
    check(bench_process(*words, PYTHONPATH=path))
    shown = bench_process("show", "brightest", PYTHONPATH=path)
    assert "above = 0.0" in shown.out


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


def test_the_guide_shows_the_package_that_is_tested() -> None:
    guide = (ROOT / "docs" / "adding-a-source.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert code == (PACKAGE / "brightest_images.py").read_text()
    (entry,) = re.findall(r"^ *```toml\n(.*?)^ *```$", guide, re.MULTILINE | re.DOTALL)
    project = (PACKAGE / "pyproject.toml").read_text()
    assert all(line.strip() in project for line in entry.splitlines())
