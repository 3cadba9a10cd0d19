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
        missing: The titles of those that are missing.
        waiting: How many of the missing ones may still come: those that have not failed, none of a
            study on hold.
        problem: Why the study cannot be read; empty if it can.
    """

    name: str
    total: int
    missing: list[str]
    waiting: int
    problem: str = ""


def unfinished(home: Home, settled: Set[str], failed: Set[str]) -> list[Unfinished]:
    """Return the studies that lack runs.

    Args:
        home: Where they were started.
        settled: The ids of all runs that need not be executed any more.
        failed: The ids of those that failed.
    """
    studies = []
    for name in names(home):
        try:
            study = StudyFolder(home, name)
            runs, held = study.submitted().runs, study.hold() is not None
        except BenchError as error:
            studies.append(Unfinished(name, 0, [], 0, str(error)))
            continue
        missing = {run_id: title for run_id, title in runs.items() if run_id not in settled}
        if missing:
            waiting = 0 if held else len(missing.keys() - failed)
            studies.append(Unfinished(name, len(runs), list(missing.values()), waiting))
    return studies
