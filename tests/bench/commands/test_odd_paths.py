"""Folders may be called anything: brackets, blanks, percent signs, accents and hashes."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Bench, Web
from tests.support.command_line import write_study

NAMES = ["exp[1] {a,b} %j é #1", "a*b %41 file:x @y&z=1;$HOME 'q' \"r\" ~"]


@pytest.mark.slow(minutes=1)
@pytest.mark.parametrize("name", NAMES)
def test_everything_may_be_below_a_folder_of_any_name(
    name: str,
    tmp_path: Path,
    bench: Bench,
    preset: Path,
    tiny_clip: Path,
    colours: Path,
    web: Web,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = tmp_path / name
    shutil.copytree(tiny_clip, place / "weights")
    shutil.copytree(web.pool, place / "pool" / "sub")
    shutil.copytree(colours, place / "colours")
    shutil.copy(preset, place / "preset.yaml")
    monkeypatch.setenv("BENCH_HOME", str(place / "home"))

    def done(*words: str | Path) -> str:
        outcome = bench(*map(str, words))
        assert outcome.code == 0, outcome.err
        return outcome.out

    base: list[str | Path] = [
        "run",
        "--preset",
        place / "preset.yaml",
        _set("model", place / "weights"),
    ]
    own = [*base, "--task", place / "colours", "--source", "folder"]
    assert "images used" in done(*own, _set("source.path", place / "colours" / "train"))
    private = f"--set=source.download.allow_private=['{web.host}']"
    found = [*base, "--task", "mini-aircraft", "--source", "retrieved"]
    assert "images used" in done(*found, _set("source.pool", place / "pool"), private)
    axes = {"task": [str(place / "colours")], "source": ["real"], "n": [6], "seed": [0]}
    done("sweep", write_study(place, place / "preset.yaml", axes), "--on", "debug")
    done("report", "--out", place / "report")
    assert list((place / "report").glob("*.html"))
    done("export", "--out", place / "results.csv")
    assert "zero-shot" in (place / "results.csv").read_text()
    assert len(list((place / "home" / "runs").glob("*/record.json"))) == 3


@pytest.mark.parametrize("character", ["\\", "?"])
def test_a_home_folder_that_duckdb_cannot_open_is_refused(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, character: str
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / f"a{character}b"))
    outcome = bench("collect")
    assert outcome.code == 2
    why = f"b has a {character}, which DuckDB cannot open; set BENCH_HOME to another folder"
    assert why in outcome.err


def _set(setting: str, path: Path) -> str:
    """Return the option that sets a setting to a path, quoted."""
    return f"--set={setting}={json.dumps(str(path), ensure_ascii=False)}"
