"""A published task whose class names nobody lists: they are those of its class folders."""

import msgspec

from bench.core.errors import RequestError
from bench.core.memo import memo
from bench.core.missing import MissingError
from bench.core.paths import Home
from bench.core.walk import why_left_out
from bench.tasks._published import PublishedTask
from bench.tasks.readers.class_folders import FoldersOrigin

_WORDS = 2
"""Of a folder's words, the last that are its name: genus and species of iNaturalist's
``00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris``."""


@memo
def named_by_folders(task: PublishedTask, home: Home) -> PublishedTask:
    """Return a task with the names of its class folders, in the order of the folders.

    Args:
        task: One that declares how many classes there are (`PublishedTask.folder_names`).
        home: Where its folders are.

    Raises:
        MissingError: If they are not there.
        RequestError: If there are more or fewer, or two have one name.
    """
    (origin,) = (one for one in task.origins if isinstance(one, FoldersOrigin))
    root = origin.listed_in("train", task.folder(home))
    if not root.is_dir():
        raise MissingError(f"the data of task {task.name!r} is not in {root}", task.advice(home))
    folders = sorted(
        one.name for one in root.iterdir() if one.is_dir() and not why_left_out(one.name)
    )
    if len(folders) != task.folder_names:
        raise RequestError(
            f"task {task.name}: {root} has {len(folders):,} class folders, "
            f"expected {task.folder_names:,}",
            task.remedy(home),
        )
    names = {folder: " ".join(folder.split("_")[-_WORDS:]) for folder in folders}
    named = msgspec.structs.replace(origin, class_names=names)
    try:
        return msgspec.structs.replace(
            task, class_names=tuple(names.values()), origins=(named,), folder_names=0
        )
    except ValueError as error:
        raise RequestError(f"task {task.name}: {root}: {error}", task.remedy(home)) from error
