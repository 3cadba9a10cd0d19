"""Studies of a home that lack runs."""

from collections.abc import Set
from dataclasses import dataclass

from bench.core.errors import BenchError
from bench.core.paths import Home
from bench.storage.study_folder import StudyFolder, names


@dataclass(frozen=True)
class Unfinished:
    """A study that lacks runs.

    Attributes:
        name: The study.
        total: Its runs.
        missing: The titles of those that are missing, or why the study cannot be read.
    """

    name: str
    total: int
    missing: list[str]


def unfinished(home: Home, settled: Set[str]) -> list[Unfinished]:
    """Return the studies that lack runs.

    Args:
        home: Where they were started.
        settled: The ids of all runs that need not be executed any more.
    """
    studies = []
    for name in names(home):
        try:
            runs = StudyFolder(home, name).submitted().runs
        except BenchError as error:
            studies.append(Unfinished(name, 0, [str(error)]))
            continue
        missing = [title for run_id, title in runs.items() if run_id not in settled]
        if missing:
            studies.append(Unfinished(name, len(runs), missing))
    return studies
