"""Finding a study, or one of its runs, by what a user calls it."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.core.paths import Home
    from bench.storage.study_folder import StudyFolder


def study_named(home: "Home", word: str) -> "StudyFolder":
    """Return a study's folder by its name, or by the path of its file.

    Raises:
        RequestError: If it was never started.
    """
    from bench.core.errors import unknown_name
    from bench.planning.study import load_study
    from bench.storage.study_folder import StudyFolder, names

    name = load_study(Path(word)).name if Path(word).suffix == ".yaml" else word
    if name not in names(home):
        raise unknown_name("study", name, names(home))
    return StudyFolder(home, name)
