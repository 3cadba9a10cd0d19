"""Benchmark images that do not decode are refused before any work, all at once and by path."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import RequestError
from bench.core.paths import Home
from tests.conftest import Bench
from tests.support.command_line import request, write_study
from tests.support.published import small_aircraft


@pytest.fixture
def task(colours: Path, tmp_path: Path) -> Path:
    """A copy of the task that a test may damage."""
    copy: Path = shutil.copytree(colours, tmp_path / "mine")
    return copy


def damage(task: Path) -> dict[str, str]:
    """Damage one image in five ways; return each one's path and what is to be said of it."""
    faults = {
        "train/red/0.png": (b"", "it is empty"),
        "val/green/1.png": (b"<!DOCTYPE html><html>", "it begins with b'<!DOCTYPE html><'"),
        "val/blue/0.png": ((task / "val/blue/0.png").read_bytes()[:99], "truncated"),
        "test/red/0.png": (b"version https://git-lfs", "it begins with b'version https://'"),
        "test/red/1.png": (b"P5\n65536 1\n255\n", "image of 65536 by 1 pixels"),
    }
    for name, (content, _) in faults.items():
        (task / name).write_bytes(content)
    return {str(task / name): said for name, (_, said) in faults.items()}


def stages(home: Home) -> set[str]:
    return {folder.name.partition("-")[0] for folder in home.data.iterdir()}


@pytest.mark.parametrize("source", ["none", "real", "retrieved"])
def test_damaged_images_are_named_before_any_work(
    bench: Bench, home: Home, preset: Path, task: Path, source: str
) -> None:
    faults = damage(task)
    done = bench(*request(preset, task, source=source))
    assert (done.code, done.out) == (2, "")
    assert "5 of 51 images of task 'mine' cannot be read" in done.complaint
    for path, said in faults.items():
        assert f"{path}: " in done.complaint
        assert said in done.complaint.partition(f"{path}: ")[2].partition(str(task))[0]
    assert "BytesIO" not in done.complaint
    assert stages(home) == {"check"}
    assert not list(home.runs.iterdir())


def test_a_study_is_refused_before_it_is_launched(
    bench: Bench, home: Home, preset: Path, task: Path, tmp_path: Path
) -> None:
    damage(task)
    study = write_study(
        tmp_path, preset, {"task": [str(task)], "source": ["none", "real"], "n": [8]}
    )
    done = bench("sweep", str(study))
    assert done.code == 2
    assert "5 of 51 images of task 'mine' cannot be read" in done.complaint
    assert stages(home) == {"check"}
    assert not list(home.runs.iterdir())
    assert not (home.root / "studies").exists()


def test_building_checks_too_and_a_mended_task_goes_on(
    bench: Bench, preset: Path, task: Path, colours: Path
) -> None:
    damage(task)
    words = ["--preset", str(preset), "--source", "real", "--task", str(task)]
    assert bench("build", *words).code == 2
    shutil.copytree(colours, task, dirs_exist_ok=True)
    built = bench("build", *words)
    assert built.code == 0
    assert "24 images of real" in built.out


def test_a_task_is_checked_once(bench: Bench, home: Home, preset: Path, task: Path) -> None:
    assert bench(*request(preset, task, source="none")).code == 0
    (done,) = home.data.glob("check-*/done.json")
    before = done.stat().st_mtime_ns
    assert bench(*request(preset, task)).code == 0
    (done,) = home.data.glob("check-*/done.json")
    assert done.stat().st_mtime_ns == before


def test_images_of_one_shade_are_said(bench: Bench, preset: Path, task: Path) -> None:
    # As a microscope's 12 bits are in a file of 16: by the type's range, nearly black.
    for file in task.rglob("*.png"):
        grey = np.asarray(Image.open(file).convert("L")).astype(np.uint16)
        Image.fromarray(grey * 16).save(file)
    done = bench(*request(preset, task, source="none"))
    assert done.code == 0
    assert "51 images of task mine show one shade only" in done.err
    assert "train/blue/0.png" in done.err


def test_a_published_benchmark_s_damaged_image_is_named_by_its_path(home: Home) -> None:
    task = small_aircraft(home)
    file = home.tasks / "aircraft/fgvc-aircraft-2013b/data/images/0000004.jpg"
    file.write_bytes(file.read_bytes()[:-40])
    split = task.split("test", home)
    with pytest.raises(RequestError) as refused:
        split.read(list(split.keys).index("0000004.jpg"))
    assert refused.value.what.startswith(f"{file}: not a readable image: ")
