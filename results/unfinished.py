"""What is still missing of the studies that were started in a home."""

from collections.abc import Set
from dataclasses import dataclass

from bench.core.errors import BenchError
from bench.core.paths import Home
from bench.storage.study_folder import StudyFolder, names


@dataclass(frozen=True)
class Unfinished:
    """A study of which runs are missing.

    Attributes:
        name: The study.
        total: Its runs.
        missing: What the missing ones are called.
    """

    name: str
    total: int
    missing: list[str]


def unfinished(home: Home, done: Set[str]) -> list[Unfinished]:
    """Return the studies that lack runs.

    Args:
        home: Where they were started.
        done: The ids of all runs that are done.
    """
    found = []
    for name in names(home):
        try:
            runs = StudyFolder(home, name).submitted().runs
        except BenchError as error:
            found.append(Unfinished(name, 0, [str(error)]))
            continue
        missing = [title for run_id, title in runs.items() if run_id not in done]
        if missing:
            found.append(Unfinished(name, len(runs), missing))
    return found
