"""Finding a study by its name or file."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.core.paths import Home
    from bench.storage.study_folder import StudyFolder


def study_named(home: "Home", name_or_path: str) -> "StudyFolder":
    """Return a study's folder by its name or by the path of its file.

    Raises:
        RequestError: If it was never started.
    """
    from bench.core.errors import unknown_name
    from bench.planning.study import load_study
    from bench.storage.study_folder import StudyFolder, names

    path = Path(name_or_path)
    name = load_study(path).name if path.suffix == ".yaml" else name_or_path
    if name not in names(home):
        raise unknown_name("study", name, names(home))
    return StudyFolder(home, name)
