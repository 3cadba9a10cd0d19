"""Tasks: a YAML file is a task: names, prompts, splits, and where its images are from."""

from pathlib import Path

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.core.task import Task
from bench.plugins import tasks
from bench.tasks._folder import FolderTask
from bench.tasks._hub_columns import HubName
from bench.tasks._mini import MiniTask
from bench.tasks._named_by_folders import named_by_folders
from bench.tasks._published import PublishedTask
from bench.tasks._undeclared import HUB, WEBDATASET, hub_task, tar_task
from bench.tasks.readers.hub_origin import HubOrigin
from bench.tasks.readers.torchvision_class import TorchvisionOrigin

__all__ = [
    "WEBDATASET",
    "FolderTask",
    "HubName",
    "HubOrigin",
    "MiniTask",
    "PublishedTask",
    "TorchvisionOrigin",
    "check_folder",
    "declare",
    "find_task",
    "is_place",
]


def declare(name: str) -> Task:
    """Return the published task that a YAML file of this package declares."""
    return PublishedTask.load(name)


def find_task(name: str) -> Task:
    """Return a task by name, a data set ``hf:…`` or ``wds:…``, else that in a folder of images.

    Raises:
        MissingError: If the data set of the Hub was not fetched, or the folders that alone have
            the class names are not there.
        RequestError: If there is no such task, or the folder is not one.
    """
    if name.startswith(HUB):
        return hub_task(name, Home.from_environment())
    if name.startswith(WEBDATASET):
        return tar_task(name)
    path = Path(name)
    if name not in tasks.names() and path.is_dir():
        return FolderTask.load(path)
    if path.is_absolute():
        raise RequestError(
            f"the folder {name} of the task is not there",
            "move it back, or repeat the command or study that names it with its new place",
        )
    check_folder(name)
    task = tasks.get(name)
    if isinstance(task, PublishedTask) and task.folder_names:
        return named_by_folders(task, Home.from_environment())
    return task


def check_folder(name: str) -> None:
    """Raise RequestError if a name can only be a folder's, as it has a slash, and there is none."""
    if "/" in name and not is_place(name):
        raise RequestError(
            f"there is no folder {name} here, and no task has a name with a slash",
            "check the path; `bench list tasks` names the tasks",
        )


def is_place(name: str) -> bool:
    """Return whether a name says where a task's images are, rather than what it is called."""
    # The empty path is the folder that the program was started in.
    return name.startswith((HUB, WEBDATASET)) or (bool(name) and Path(name).is_dir())
