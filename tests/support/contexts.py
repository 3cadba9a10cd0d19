"""What a source is given, with a small CLIP and no progress shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Task
from bench.plugins.source import Context
from bench.storage.image_set import read_image

if TYPE_CHECKING:
    from adapt.models import ClipEmbedder


def embedder(name: str) -> "ClipEmbedder":
    from adapt.models import ClipEmbedder, load_clip  # Slow to import; caption workers need none.

    return ClipEmbedder(load_clip(Home(Path("nowhere")).find_weights(name)))


def context(home: Home, task: Task, n: int | None = None, seed: int = 0, **more: Any) -> Context:
    return Context(home, task, n, seed, embedder, Progress(quiet=True), **more)


def image_of(home: Home, row: dict[str, Any]) -> Image.Image:
    """Return the image of a row of an image set's index."""
    return read_image(home.data, row["shard"], row["offset"], row["size"], row["sha256"])
