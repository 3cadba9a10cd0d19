"""What `bench fetch --task` fetches: archives through torchvision, or a data set of the Hub."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands._archives import download
from bench.commands._hub import Snapshot, fetch_all, find_snapshot
from bench.core.errors import RequestError, unknown_name
from bench.core.missing import MissingError
from bench.core.paths import Home

if TYPE_CHECKING:
    from bench.tasks import HubOrigin, PublishedTask

_BESIDE = ("*.txt", "*/nshards.txt", "README.md", "LICENSE*")
"""Further files of a repository: lists of classes, templates and numbers, and what it is."""


def fetch_task(name: str, home: Home) -> Path:
    """Fetch a benchmark's images, check them, and return their folder.

    Raises:
        RequestError: If there is no such task to fetch, it has to be got by hand, or its data are
            not the official ones.
        BenchError: If they cannot be fetched.
    """
    from bench.tasks import find_task

    if name.startswith("hf:"):
        return _fetch_data_set(name, home)
    task = _published(name)
    try:
        task.at(home)
    except MissingError:
        _fetch(task, home)
    find_task(name).check(home)
    return task.folder(home)


def _published(name: str) -> "PublishedTask":
    from bench.plugins import tasks
    from bench.tasks import PublishedTask

    task = tasks.get(name) if name in tasks.names() else None
    if not isinstance(task, PublishedTask):
        known = [each for each in tasks.names() if isinstance(tasks.get(each), PublishedTask)]
        raise unknown_name("task to fetch", name, [*known, "hf:ORG/NAME@REVISION"])
    return task


def _fetch(task: "PublishedTask", home: Home) -> None:
    """Fetch a task from the first origin that can be fetched; if there is none, do nothing."""
    from bench.tasks import HubOrigin, TorchvisionOrigin

    folder = task.folder(home)
    for origin in task.origins:
        if isinstance(origin, HubOrigin):
            fetch_all([_snapshot(origin, folder)])
            return
        if isinstance(origin, TorchvisionOrigin) and not task.how_to_get:
            arguments = [origin.arguments(split) for split in origin.split_names]
            download(task.name, origin.dataset, arguments, folder)
            return


def _snapshot(origin: "HubOrigin", folder: Path) -> Snapshot:
    def choose(files: Sequence[str]) -> list[str]:
        patterns = (*origin.splits.values(), *_BESIDE)
        return [file for file in files if any(fnmatchcase(file, each) for each in patterns)]

    revision = origin.revision or None
    return find_snapshot(origin.repository, revision, "dataset", origin.root(folder), choose)


def _fetch_data_set(text: str, home: Home) -> Path:
    """Fetch a data set of the Hub that no task declares."""
    from bench.tasks import HubName, find_task

    name = HubName.parse(text)
    folder = name.folder(home)
    if not folder.is_dir():
        snapshot = find_snapshot(name.repository, name.revision, "dataset", folder, _parquet_files)
        fetch_all([snapshot])
    find_task(text).check(home)
    return folder


def _parquet_files(files: Sequence[str]) -> list[str]:
    chosen = [file for file in files if file.endswith(".parquet")]
    if not chosen:
        raise RequestError(
            "the data set has no Parquet files",
            "its branch refs/convert/parquet may: its page on the Hub shows that branch's commit",
        )
    return [*chosen, *(file for file in files if file == "README.md")]
