"""Cache what runs of one process share, so that a study loads a model and a split once."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.specs import RunSpec
from bench.core.task import Task
from bench.plugins.source import Embedder
from bench.runtime import distributed
from bench.tasks import find_task

if TYPE_CHECKING:
    from torch import Tensor

    from adapt.models import Clip
    from eval.features.task_images import TaskImages


@lru_cache(maxsize=4)
def clip_of(folder: str) -> "Clip":
    """Return the model in a weights folder."""
    from adapt.models import load_model

    return load_model(Path(folder), device())


def start_of(spec: RunSpec, home: Home) -> "Clip":
    """Return the model that a run's training starts from: the fetched one, or an untrained one."""
    folder = home.find_weights(spec.model)
    clip = clip_of(str(folder))
    if spec.train.init == "pretrained":
        return clip
    from adapt.scratch import untrained

    return untrained(clip, folder, spec.seed)


def device() -> str:
    """Return the device of this process."""
    import torch

    return f"cuda:{distributed.local_rank()}" if torch.cuda.is_available() else "cpu"


def task_of(spec: RunSpec) -> Task:
    """Return a run's task, as its fingerprint has it.

    Raises:
        RequestError: If the task has changed since the run was fingerprinted.
    """
    return _task(spec.task, spec.fingerprints.get("task", ""))


@lru_cache(maxsize=8)
def _task(name: str, fingerprint: str) -> Task:
    task = find_task(name)
    if not fingerprint:
        return task
    for variant in task.variants:
        if variant.fingerprint == fingerprint:
            return variant
    raise RequestError(
        f"the task {name} is not the one that the run was planned with",
        "repeat the command or study that asks for it",
    )


@lru_cache(maxsize=4)
def task_images_of(task: Task, home: Home, model: str) -> "TaskImages":
    """Return a task's images, preprocessed for a model."""
    from eval.features.task_images import TaskImages

    return TaskImages(task, home, clip_of(model).preprocess_val, Progress())


@lru_cache(maxsize=4)
def text_head_of(task: Task, model: str) -> "Tensor":
    """Return a task's zero-shot head."""
    from adapt.models import text_head

    return text_head(clip_of(model), task)


def embedder_of(folder: Path) -> Embedder:
    """Return an embedder that uses the model in a weights folder."""
    from adapt.models import ClipEmbedder

    return ClipEmbedder(clip_of(str(folder)))
