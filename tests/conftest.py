"""Shared fixtures: an empty home, a small CLIP, a small task, and the real command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, settings

from bench.core.paths import Home

if TYPE_CHECKING:
    from tests.support.tiny_generation import World

ROOT = Path(__file__).parents[1]

# How long an example takes says more about the machine's other work than about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Processes that run tests side by side are told a terminal's width; the commands tested have none.
os.environ.pop("COLUMNS", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest tests first, so that none runs by itself at the end."""
    items.sort(key=_minutes, reverse=True)


def _minutes(item: pytest.Item) -> float:
    mark = item.get_closest_marker("slow")
    return float(mark.kwargs.get("minutes", 0)) if mark else 0.0


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        value: dict[str, Any] = json.loads(self.out)
        return value

    @property
    def complaint(self) -> str:
        """The one line on standard error."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("bench: error: ")
        return lines[0].removeprefix("bench: error: ")


Bench = Callable[..., Outcome]


def command(*words: str) -> list[str]:
    """Return the words that start the real command line in a separate process."""
    return [sys.executable, "-m", "bench.cli", *words]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment for a command: its home, one thread, our packages."""
    return {
        **os.environ,
        "BENCH_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        **more,
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The home folder of one test; it does not exist yet."""
    root = tmp_path / "home"
    monkeypatch.setenv("BENCH_HOME", str(root))
    return Home(root)


@pytest.fixture
def bench(home: Home, capfd: pytest.CaptureFixture[str]) -> Bench:
    """The command line in this process, which saves the time of its imports."""
    from bench.cli import main

    def call(*words: str) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(words))
        captured = capfd.readouterr()
        code = left.value.code
        return Outcome(code if isinstance(code, int) else int(bool(code)), *captured)

    return call


@pytest.fixture
def bench_process(home: Home) -> Bench:
    """The command line in a separate process."""

    def call(*words: str, home_: Path = home.root, **more: str) -> Outcome:
        done = subprocess.run(
            command(*words),
            env=environment(home_, **more),
            cwd=home.root.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of an untrained, tiny CLIP."""
    from tests.support.tiny_clip import write_tiny_clip

    return write_tiny_clip(tmp_path_factory.mktemp("weights") / "tiny-clip")


@pytest.fixture
def large_weights(tmp_path: Path) -> Path:
    """A folder of weights that are too large for one thread; they take no room on disk."""
    from bench.runtime.threads import SMALL_BYTES

    folder = tmp_path / "large"
    folder.mkdir()
    with (folder / "weights.safetensors").open("wb") as stream:
        stream.truncate(SMALL_BYTES + 1)
    return folder


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task as a tree of class folders: noisy squares of three colours."""
    from tests.support.tiny_clip import COLOURS, square

    root = tmp_path_factory.mktemp("tasks") / "colours"
    for split, first, count in (("train", 0, 8), ("val", 100, 4), ("test", 200, 5)):
        for label, name in enumerate(COLOURS):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                square(label, first + 10 * index + label).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="session")
def preset(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset that trains the small CLIP for two epochs."""
    small = {"size": 32, "suffix": ".png"}
    clip = {"model": str(tiny_clip)}
    values = {
        "description": "Seconds, not minutes.",
        "tasks": {"aircraft": "mini-aircraft"},
        "model": str(tiny_clip),
        "train": {
            "epochs": 2,
            "batch_size": 8,
            "lr": 1e-3,
            "warmup_fraction": 0.1,
            "select_by": "zero-shot",
        },
        "evaluators": {"zero-shot": {}},
        "sources": {
            "none": {},
            "real": {"images": {**small}},
            "folder": {"images": {**small}, "filter": clip},
            "retrieved": {
                "pool": "miniworld",
                "images": {**small},
                "download": {"shard_size": 100},
                "filter": {"rule": "threshold", **clip, "tau": -1},
            },
            "mixed": {"parts": {"real": 0.5, "folder": 0.5}},
        },
    }
    path = tmp_path_factory.mktemp("presets") / "tiny.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@dataclass(frozen=True)
class Web:
    """A small pool whose images a real server on loopback serves.

    Attributes:
        world: The folder with the truth that the server reads.
        pool: The folder of the pool's Parquet files; their URLs name the running server.
        host: Where the server runs, ADDRESS:PORT.
    """

    world: Path
    pool: Path
    host: str


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A pool of 600 pairs, its server running."""
    import polars as pl

    from bench.miniworld.pool import PLACEHOLDER_HOST, build_pool
    from bench.miniworld.server import MiniWeb

    world = tmp_path_factory.mktemp("web")
    build_pool(world, size=600, seed=5)
    with MiniWeb(world) as running:
        pool = world / "served"
        pool.mkdir()
        for file in sorted((world / "pool").glob("*.parquet")):
            pl.read_parquet(file).with_columns(
                pl.col("URL").str.replace(PLACEHOLDER_HOST, running.host, literal=True)
            ).write_parquet(pool / file.name)
        yield Web(world, pool, running.host)


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny pipeline folders of every family, under their names."""
    from tests.support.tiny_generation import FAMILIES
    from tests.support.tiny_pipelines import write_pipeline

    root = tmp_path_factory.mktemp("pipelines")
    for family in ("sd", *FAMILIES):
        write_pipeline(family, root / family)
    return root


@pytest.fixture
def world(home: Home, tiny_clip: Path, pipelines: Path) -> "World":
    """A home to generate in, with a small CLIP and the tiny pipelines."""
    from tests.support.tiny_generation import World

    return World(home, tiny_clip, pipelines)
