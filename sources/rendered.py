"""The miniature world's renderer itself: clean images of every class, apart from every split.

No outside source can do better than as many of these. They show whether a study in this world could
find a difference at all.
"""

from collections.abc import Iterator

import polars as pl
from PIL import Image

from bench.core.config import Config
from bench.core.errors import RequestError
from bench.core.json_values import digest
from bench.core.paths import Home
from bench.core.task import Task
from bench.miniworld.pool import IMAGE_SIZE, split_seeds
from bench.miniworld.render import render
from bench.plugins import sources
from bench.plugins.source import Context
from bench.storage.image_codec import ImageFormat
from bench.storage.image_set import ImageSet
from bench.storage.packing import EncodedImage, pack_images, packed_rows
from bench.tasks import MiniTask

SPLIT = "clean"


@sources.register("rendered")
class Rendered:
    """As many renders of each class, the right label on all of them."""

    captioned = False

    class Options(Config, frozen=True, kw_only=True):
        """How the renders are kept."""

        images: ImageFormat = ImageFormat()

    def __init__(self, options: Options) -> None:
        self.options = options
        self.images = options.images

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return nothing beyond the task, whose fingerprint the run has."""
        return {}

    def check(self, task: Task) -> None:
        """Make sure that the task is one of the miniature world's.

        Raises:
            RequestError: If it is not.
        """
        _miniature(task)

    def collect(self, context: Context) -> ImageSet:
        """Return the renders."""
        task = _miniature(context.task)
        seeds = split_seeds(SPLIT)
        kept_as = self.images
        config = {"task": task.fingerprint, "count": len(seeds), "images": kept_as.recipe}
        stage = context.stage("rendered", config)

        def images(wanted: range) -> Iterator[EncodedImage]:
            for index in wanted:
                label, place = divmod(index, len(seeds))
                pixels = render(task.domain, task.class_names[label], seeds[place], size=IMAGE_SIZE)
                image = kept_as.fitted(Image.fromarray(pixels))
                key = digest(["rendered", task.domain, index], 16)
                yield EncodedImage(key, kept_as.encoded(image), kept_as.suffix, label, image.size)

        total = len(seeds) * len(task.class_names)
        pack_images(stage, total, images)
        rows = packed_rows(stage, context.task.class_names).with_columns(origin=pl.lit("rendered"))
        counts = {"matched": total, "fetched": total, "kept": rows.height}
        return ImageSet.write(context.home.data, rows, task, "rendered", {}, counts)


def _miniature(task: Task) -> MiniTask:
    if not isinstance(task, MiniTask):
        raise RequestError(
            f"the source 'rendered' has miniature classes only, not those of {task.name}",
            "take one of aircraft, cars and flowers with --preset mini, or --source real",
        )
    return task
