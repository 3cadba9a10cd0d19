"""Stages: done once, whole or not at all, whoever works on them and whoever is killed."""

import itertools
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import BenchError
from bench.core.work_selection import NOTHING, WorkSelection
from bench.storage.stage import Stage, UnfinishedError
from tests.conftest import environment

SHARDS = 12
WRITES_PER_SHARD = 4


def work(data: Path, seconds: float, log: Path, shards: int = SHARDS) -> Stage:
    """Run a stage whose shards are written in slow steps, and log each finished one."""
    stage = Stage(data, "work", {"shards": SHARDS})

    def make(index: int, folder: Path) -> None:
        for part in range(WRITES_PER_SHARD):
            (folder / f"{part}.txt").write_text(f"{index} {part}\n" * 100)
            time.sleep(seconds)
        with log.open("a") as stream:
            stream.write(f"{index}\n")

    stage.run(shards, make, summarise=lambda made: {"parts": count_files(made)})
    return stage


def selecting(stage: Stage, selection: WorkSelection) -> Stage:
    """Return the stage for a worker with a selection of its work."""
    return Stage(stage.folder.parent, stage.name, {}, selection=selection)


def count_files(folders: list[Path]) -> int:
    return sum(1 for folder in folders for _ in folder.iterdir())


def contents(stage: Stage) -> dict[str, bytes]:
    """Return every file of a stage but locks, and what a killed write leaves."""
    return {
        path.relative_to(stage.folder).as_posix(): path.read_bytes()
        for path in stage.folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def worker(data: Path, seconds: float, log: Path) -> "subprocess.Popen[bytes]":
    words = [sys.executable, __file__, str(data), str(seconds), str(log)]
    return subprocess.Popen(words, env=environment(data))


@pytest.fixture
def undisturbed(tmp_path: Path) -> Stage:
    return work(tmp_path / "undisturbed", 0, tmp_path / "undisturbed.log")


def test_a_finished_stage_does_nothing_the_second_time(tmp_path: Path) -> None:
    stage = work(tmp_path, 0, tmp_path / "log")
    before = contents(stage)
    work(tmp_path, 0, tmp_path / "log")
    assert contents(stage) == before
    assert len((tmp_path / "log").read_text().split()) == SHARDS
    assert stage.info() == {"parts": SHARDS * WRITES_PER_SHARD}
    done = json.loads((stage.folder / "done.json").read_text())
    assert done["stage"] == "work"
    assert done["config"] == {"shards": SHARDS}
    assert done["shards"] == SHARDS


def test_a_worker_that_does_not_wait_skips_shards_of_others(tmp_path: Path) -> None:
    stage, other = Stage(tmp_path, "work", {}), Stage(tmp_path, "work", {})

    def make(index: int, _: Path) -> None:
        if index == 0:
            with pytest.raises(UnfinishedError):
                other.run(3, lambda *_: None, wait=False)
            assert [other.shard(i).is_dir() for i in range(3)] == [False, True, True]

    stage.run(3, make)
    assert stage.done


def test_a_selection_of_shards_is_made_and_the_rest_reported(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "work", {})
    made: list[int] = []

    def make(index: int, _: Path) -> None:
        made.append(index)

    for missing, shards in ((3, range(1, 3)), (3, range(7, 9)), (1, range(3, 5))):
        with pytest.raises(UnfinishedError, match=f"{missing} of 5 shards"):
            selecting(stage, WorkSelection(shards=shards)).run(5, make)
        assert not stage.done
    selecting(stage, WorkSelection(shards=range(1))).run(5, make)
    assert stage.done
    assert made == [1, 2, 3, 4, 0]
    assert [path.name for path in stage.shards()] == [f"0000{index}" for index in range(5)]


def test_a_stage_that_is_withheld_writes_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "work", {})
    for selection in (NOTHING, WorkSelection(stages=frozenset({"rest"}))):
        with pytest.raises(UnfinishedError, match=r"work-.* is still to be made") as caught:
            selecting(stage, selection).run(2, lambda *_: None)
        assert caught.value.stage == "work"
        assert list(tmp_path.iterdir()) == []
    selecting(stage, WorkSelection(stages=frozenset({"work"}))).run(2, lambda *_: None)
    selecting(stage, NOTHING).run(2, lambda *_: None)


def test_the_first_worker_fixes_the_number_of_shards(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "work", {})
    with pytest.raises(UnfinishedError):
        selecting(stage, WorkSelection(shards=range(1))).run(4, lambda *_: None)
    stage.run(9, lambda *_: None)
    assert len(stage.shards()) == 4


def test_a_failing_shard_leaves_nothing_of_itself_and_keeps_the_others(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "work", {})

    def make(index: int, folder: Path) -> None:
        (folder / "half").write_text("")
        if index == 2:
            raise BenchError("no luck")

    with pytest.raises(BenchError, match="no luck"):
        stage.run(4, make)
    assert not stage.done
    made = [path.name for path in stage.folder.iterdir() if path.is_dir()]
    assert sorted(made) == ["00000", "00001"]


def test_other_settings_or_other_inputs_are_another_stage(tmp_path: Path) -> None:
    def key(name: str, config: Any, *inputs: str) -> str:
        return Stage(tmp_path, name, config, inputs).key

    keys = {key("work", {"a": 1}), key("work", {"a": 2}), key("rest", {"a": 1})}
    assert len(keys | {key("work", {"a": 1}, "before")}) == 4
    assert key("work", {"a": 1, "b": 2}) == key("work", {"b": 2, "a": 1})


def test_a_stage_that_is_run_again_and_differs_is_another_input(tmp_path: Path) -> None:
    def made(data: str, content: str) -> str:
        def make(_: int, folder: Path) -> None:
            (folder / "tar").write_text(content)

        stage = Stage(tmp_path / data, "download", {})
        stage.run(1, make)
        return stage.output

    assert made("a", "same") == made("b", "same")
    assert made("a", "same") != made("c", "else")


def test_half_written_folders_are_not_taken_for_shards_and_are_cleared(
    tmp_path: Path, undisturbed: Stage
) -> None:
    stage = Stage(tmp_path / "data", "work", {"shards": SHARDS})
    for index in (0, 3):
        half = stage.folder / f".{index:05d}-deadbeef"
        half.mkdir(parents=True)
        (half / "0.txt").write_text("half")
    work(tmp_path / "data", 0, tmp_path / "log")
    assert contents(stage) == contents(undisturbed)
    assert not list(stage.folder.glob(".*-*"))


@pytest.mark.parametrize("content", [b"", b"{", b'{"shards": "two"}', b"{}", b"[]", b"\xff"])
@pytest.mark.parametrize("name", ["plan.json", "done.json"])
def test_a_damaged_note_is_a_clear_error(tmp_path: Path, name: str, content: bytes) -> None:
    stage = work(tmp_path, 0, tmp_path / "log")
    (stage.folder / name).write_bytes(content)
    if name == "plan.json":
        (stage.folder / "done.json").unlink()
    with pytest.raises(BenchError, match=rf"has no readable {name}; delete .* and run again"):
        work(tmp_path, 0, tmp_path / "log").shards()


def test_a_killed_worker_loses_at_most_one_shard(tmp_path: Path, undisturbed: Stage) -> None:
    rng, log = random.Random(0), tmp_path / "log"
    stage = Stage(tmp_path / "data", "work", {"shards": SHARDS})
    finished, killed = 0, 0
    for attempt in itertools.count():
        assert attempt < 60, "no progress"
        process = worker(tmp_path / "data", 0.02, log)
        # Starting takes a while; then a shard is begun every tenth of a second.
        while process.poll() is None and len(lines(log)) == finished:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        whole = [stage.shard(index) for index in range(SHARDS) if stage.shard(index).is_dir()]
        assert all(count_files([shard]) == WRITES_PER_SHARD for shard in whole)
        # What was noted last may have been killed between its note and its rename.
        assert len(whole) >= finished
        finished = len(lines(log))
        if stage.done:
            break
    assert killed >= 3
    work(tmp_path / "data", 0, log)
    assert contents(stage) == contents(undisturbed)
    assert len(lines(log)) <= SHARDS + killed


def lines(log: Path) -> list[str]:
    return log.read_text().split() if log.is_file() else []


def test_many_workers_make_every_shard_exactly_once(tmp_path: Path, undisturbed: Stage) -> None:
    log = tmp_path / "log"
    workers = [worker(tmp_path / "data", 0.01, log) for _ in range(4)]
    assert [process.wait() for process in workers] == [0] * 4
    assert sorted(map(int, lines(log))) == list(range(SHARDS))
    assert contents(Stage(tmp_path / "data", "work", {"shards": SHARDS})) == contents(undisturbed)


def test_a_worker_takes_over_from_one_that_is_killed_at_its_side(
    tmp_path: Path, undisturbed: Stage
) -> None:
    log = tmp_path / "log"
    workers = [worker(tmp_path / "data", 0.03, log) for _ in range(3)]
    while not lines(log):
        time.sleep(0.01)
    workers[0].kill()
    assert [process.wait() for process in workers] == [-signal.SIGKILL, 0, 0]
    assert contents(Stage(tmp_path / "data", "work", {"shards": SHARDS})) == contents(undisturbed)


def main() -> None:
    """Be one worker: data folder, seconds per write, log."""
    work(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))


if __name__ == "__main__":
    main()
