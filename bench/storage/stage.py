"""Stages: pieces of work that are done once, in shards, and survive being killed.

A stage's folder is named by the hash of its configuration and of its inputs' outputs, so the same
work is never done twice and different work never shares a folder. Its number of shards is fixed in
``plan.json`` before the first shard, never derived from a worker count. A shard is made in a
temporary folder and renamed. ``done.json`` comes last. Any number of workers may run one stage: a
worker holds a file lock on its shard, which the kernel releases when the worker dies.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from bench.core.errors import BenchError
from bench.core.files import atomic_folder, fingerprint, write_json
from bench.core.json_values import Json, digest
from bench.core.progress import Bar, Progress
from bench.core.work_selection import EVERYTHING, WorkSelection


class UnfinishedError(BenchError):
    """A stage that may not run, or of which only some shards were asked for.

    Args:
        what: What is missing.
        stage: The stage's name.
    """

    def __init__(self, what: str, stage: str) -> None:
        self.stage = stage
        super().__init__(what)


class _Plan(msgspec.Struct):
    """The content of ``plan.json`` and ``done.json``, besides the configuration."""

    shards: int
    output: str = ""
    info: Json = {}


class Stage:
    """One stage's folder.

    Args:
        data: The folder that holds all stages.
        name: What the stage does, e.g. ``"download"``.
        config: Everything that determines its output, besides its inputs.
        inputs: The outputs of the stages it reads.
        progress: Where to report.
        selection: Which stages and shards to make.
    """

    def __init__(
        self,
        data: Path,
        name: str,
        config: Mapping[str, Any],
        inputs: Sequence[str] = (),
        *,
        progress: Progress | None = None,
        selection: WorkSelection = EVERYTHING,
    ) -> None:
        self.config = {"stage": name, "config": dict(config), "inputs": list(inputs)}
        self.name = name
        self.key = f"{name}-{digest(self.config)}"
        self.folder = data / self.key
        self._progress = progress or Progress(quiet=True)
        self._selection = selection

    @property
    def done(self) -> bool:
        """Whether every shard is made."""
        return (self.folder / "done.json").is_file()

    @property
    def begun(self) -> bool:
        """Whether its number of shards is fixed: a worker has started it, or `begin` was called."""
        return (self.folder / "plan.json").is_file()

    def shard(self, index: int) -> Path:
        """Return the folder of one shard."""
        return self.folder / f"{index:05d}"

    def shards(self) -> list[Path]:
        """Return the folders of all shards of a finished stage, in order."""
        return [self.shard(index) for index in range(self._read("done.json").shards)]

    @property
    def output(self) -> str:
        """Identity of a finished stage's output: its key and a hash of its shards.

        A stage that is run again with another output, as a download may be, is another input.
        """
        return f"{self.key}-{self._read('done.json').output}"

    def info(self) -> dict[str, Any]:
        """Return the summary that was written when the stage was finished."""
        return self._read("done.json").info

    def run(
        self,
        shards: int,
        make: Callable[[int, Path], None],
        *,
        sharded: bool = True,
        wait: bool = True,
        summarise: Callable[[list[Path]], dict[str, Any]] = lambda _: {},
    ) -> None:
        """Make the missing shards, and finish the stage when none is missing.

        Args:
            shards: Number of shards; the first worker's number counts.
            make: Fills an empty folder with the content of one shard.
            sharded: Whether a worker that was given some shards makes only those; if not, any
                worker makes all.
            wait: Whether to wait for shards that other workers are making.
            summarise: Returns a summary of the finished shards, for `info`.

        Raises:
            UnfinishedError: If shards are missing that were not asked for or not waited for.
        """
        if self.done:
            return
        selection = self._selection if sharded else self._selection.unsharded
        if not selection.has(self.name):
            raise UnfinishedError(f"{self.key} is still to be made", self.name)
        self.begin(shards)
        total = self._read("plan.json").shards
        wanted = [index for index in selection.shards or range(total) if index < total]
        missing = [index for index in wanted if not self.shard(index).is_dir()]
        with self._progress.bar(self.name, len(missing), "shard") as bar:
            busy = [index for index in missing if not self._make(index, make, bar, wait=False)]
            for index in busy if wait else ():
                self._make(index, make, bar, wait=True)
        if all(self.shard(index).is_dir() for index in range(total)):
            made = [self.shard(index) for index in range(total)]
            output = digest([fingerprint(shard) for shard in made])
            done = {"shards": total, "output": output, "info": summarise(made)}
            write_json(self.folder / "done.json", {**self.config, **done})
        if not self.done:
            absent = sum(not self.shard(index).is_dir() for index in range(total))
            what = f"{self.key}: {absent} of {total} shards are still to be made"
            raise UnfinishedError(what, self.name)

    def begin(self, shards: int) -> None:
        """Fix the number of shards, unless that is done."""
        if not self.begun:
            write_json(self.folder / "plan.json", {**self.config, "shards": shards})

    def _make(self, index: int, make: Callable[[int, Path], None], bar: Bar, *, wait: bool) -> bool:
        """Make one shard; return False if another worker is making it and we do not wait."""
        lock = FileLock(self.folder / f".{index:05d}.lock")
        try:
            with lock.acquire(timeout=-1 if wait else 0):
                if not self.shard(index).is_dir():
                    with atomic_folder(self.shard(index)) as folder:
                        make(index, folder)
        except Timeout:
            return False
        bar.advance()
        return True

    def _read(self, name: str) -> _Plan:
        path = self.folder / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Plan)
        except (OSError, msgspec.DecodeError) as error:
            raise BenchError(
                f"the stage {self.key} has no readable {name}",
                f"delete {self.folder} and run again",
            ) from error
