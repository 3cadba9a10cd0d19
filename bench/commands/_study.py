"""Finding a study, or one of its runs, by what a user calls it."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.paths import Home
    from bench.studies import StudyFolder


def study_named(home: "Home", word: str) -> "StudyFolder":
    """Return a study's folder by its name, or by the path of its file.

    Raises:
        RequestError: If it was never started.
    """
    from bench.errors import unknown_name
    from bench.studies import StudyFolder, names
    from bench.sweep import load_study

    name = load_study(Path(word)).name if Path(word).suffix == ".yaml" else word
    if name not in names(home):
        raise unknown_name("study", name, names(home))
    return StudyFolder(home, name)
