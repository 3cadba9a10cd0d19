"""Tasks: a YAML file is a task: names, prompts, splits, and where its images are from."""

from pathlib import Path

from bench.core.errors import RequestError
from bench.core.task import Task
from bench.plugins import tasks
from bench.tasks._folder import FolderTask
from bench.tasks._mini import MiniTask
from bench.tasks._published import PublishedTask

__all__ = ["FolderTask", "MiniTask", "PublishedTask", "declare", "find_task"]


def declare(name: str) -> Task:
    """Return the published task that a YAML file of this package declares."""
    return PublishedTask.load(name)


def find_task(name: str) -> Task:
    """Return a task by name, else the task in a folder of images.

    Raises:
        RequestError: If there is no such task, or the folder is not one.
    """
    path = Path(name)
    if name not in tasks.names() and path.is_dir():
        return FolderTask.load(path)
    if path.is_absolute():
        raise RequestError(
            f"the folder {name} of the task is not there",
            "move it back, or repeat the command or study that names it with its new place",
        )
    return tasks.get(name)
