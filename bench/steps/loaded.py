"""Cache what runs of one process share, so that a study loads a model and a split once."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.paths import Home
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
    from adapt.models import load_clip

    return load_clip(Path(folder), device())


def device() -> str:
    """Return the device of this process."""
    import torch

    return f"cuda:{distributed.local_rank()}" if torch.cuda.is_available() else "cpu"


@lru_cache(maxsize=4)
def task_images_of(name: str, home: Home, model: str) -> "TaskImages":
    """Return a task's images, preprocessed for a model."""
    from eval.features.task_images import TaskImages

    return TaskImages(find_task(name), home, clip_of(model).preprocess_val)


@lru_cache(maxsize=4)
def text_head_of(name: str, model: str) -> "Tensor":
    """Return a task's zero-shot head."""
    from adapt.models import text_head

    return text_head(clip_of(model), find_task(name))


def embedder_of(folder: Path) -> Embedder:
    """Return an embedder that uses the model in a weights folder."""
    from adapt.models import ClipEmbedder

    return ClipEmbedder(clip_of(str(folder)))
