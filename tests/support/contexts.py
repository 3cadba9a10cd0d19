"""What a source is given, with a small CLIP and no progress shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Task
from bench.plugins.source import Context

if TYPE_CHECKING:
    from adapt.models import ClipEmbedder


def embedder(name: str) -> "ClipEmbedder":
    from adapt.models import ClipEmbedder, load_clip  # Slow to import; caption workers need none.

    return ClipEmbedder(load_clip(Path(name)))


def context(home: Home, task: Task, n: int | None = None, seed: int = 0, **more: Any) -> Context:
    return Context(home, task, n, seed, embedder, Progress(quiet=True), **more)
