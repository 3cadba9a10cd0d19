"""Workers that generate together: none waits for nothing, and any may be killed at any moment."""

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.paths import Home
from bench.core.work_selection import WorkSelection
from bench.plugins import source_of
from bench.storage.stage import UnfinishedError
from sources.generation.shard import overlapped
from tests.conftest import environment
from tests.support.command_line import until
from tests.support.tiny_generation import BLOCK, World, pixels


@given(st.lists(st.integers(), max_size=20))
def test_overlapped_work_keeps_its_order(items: list[int]) -> None:
    assert list(overlapped(lambda item: item + 1, str, items)) == [str(item + 1) for item in items]


def test_the_second_step_runs_while_the_next_first_step_does() -> None:
    begun = [threading.Event() for _ in range(3)]

    def second(item: int) -> bool:
        return item == 2 or begun[item + 1].wait(timeout=10)

    def first(item: int) -> int:
        begun[item].set()
        return item

    assert list(overlapped(first, second, range(3))) == [True] * 3


def test_an_array_task_generates_its_shards_of_every_block(world: World) -> None:
    source = source_of("synthetic", world.settings(size=3 * BLOCK))

    def collect(chosen: range) -> int:
        return len(source.collect(replace(world.context(), selection=WorkSelection(shards=chosen))))

    with pytest.raises(UnfinishedError):
        collect(range(1, 2))
    assert [path.name for path in shards(world)] == ["00001"] * 3
    assert collect(range(2)) == 3 * BLOCK


def worker(world: World, **more: object) -> "subprocess.Popen[bytes]":
    words = (world.home.root, world.clip, world.pipelines, msgspec.json.encode(more).decode())
    command = [sys.executable, __file__, *map(str, words)]
    return subprocess.Popen(command, env=environment(world.home.root))


def shards(world: World) -> list[Path]:
    return list(world.home.data.glob("generate-*/[0-9]*"))


def test_killed_workers_are_continued_with_other_batches(world: World, tmp_path: Path) -> None:
    other = world.elsewhere(tmp_path / "undisturbed")
    undisturbed = other.collect(n=44, size=44, steps=8)
    workers = [worker(world, steps=8) for _ in range(2)]
    until(lambda: len(shards(world)) >= 2, seconds=120, poll=0.01)
    for process in workers:
        process.kill()
        process.wait()
    assert len(shards(world)) < 12
    resumed = world.collect(n=44, size=44, steps=8, batch_size=3)
    same = ("key", "label", "caption", "caption_id", "seed")
    assert resumed.index().select(same).equals(undisturbed.index().select(same))
    stages = sorted(world.home.data.glob("generate-*"))
    outcomes = pl.concat(pl.read_parquet(path / "index.parquet") for path in shards(world))
    assert outcomes["key"].n_unique() == outcomes.height == len(stages) * BLOCK
    expected, found = pixels(other, undisturbed), pixels(world, resumed)
    assert max(abs(found[key] - expected[key]).max() for key in found) <= 1


if __name__ == "__main__":
    root, clip, folder, chosen = sys.argv[1:]
    World(Home(Path(root)), Path(clip), Path(folder)).collect(
        n=44, size=44, **msgspec.json.decode(chosen, type=dict[str, Any])
    )
