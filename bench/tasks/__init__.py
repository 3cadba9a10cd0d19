"""Tasks: a file is a task; class names and prompts are data beside it."""

from pathlib import Path

from bench.core.task import Task
from bench.plugins import tasks
from bench.tasks._folder import FolderTask
from bench.tasks._mini import MiniTask
from bench.tasks._published import PublishedTask

__all__ = ["FolderTask", "MiniTask", "PublishedTask", "find_task"]


def find_task(name: str) -> Task:
    """Return a task by name, else the task in a folder of images.

    Raises:
        RequestError: If there is no such task, or the folder is not one.
    """
    if name not in tasks.names() and Path(name).is_dir():
        return FolderTask.load(Path(name))
    return tasks.get(name)
