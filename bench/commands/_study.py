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
    from bench.storage.study_folder import StudyFolder, names

    name, path = name_or_path, Path(name_or_path)
    if path.suffix == ".yaml":
        # It takes all plug-ins, and half a second, to read one.
        from bench.planning.study import load_study

        name = load_study(path).name
    if name not in names(home):
        raise unknown_name("study", name, names(home))
    return StudyFolder(home, name)
