"""The task's own training images: the upper bound that no outside source is expected to reach."""

from collections.abc import Iterator

import polars as pl

from bench.core.config import Config
from bench.core.errors import RequestError
from bench.core.json_values import Json, digest
from bench.core.paths import Home
from bench.core.task import Task
from bench.plugins import sources
from bench.plugins.source import Context
from bench.storage.image_codec import ImageFormat
from bench.storage.image_set import ImageSet
from bench.storage.packing import EncodedImage, pack_images, packed_rows


@sources.register("real")
class Real:
    """The training split, by definition free of validation and test images."""

    captioned = False

    class Options(Config, frozen=True, kw_only=True):
        """How the images are kept."""

        images: ImageFormat = ImageFormat()

    def __init__(self, options: Options) -> None:
        self.options = options
        self.images = options.images

    def check(self, task: Task) -> None:
        """Check that an image has one label, as training needs it.

        Raises:
            RequestError: If images have several.
        """
        if task.multi_label:
            raise RequestError(
                f"the source real has images of several labels in task {task.name}, and training "
                "needs one",
                "take another source: its images are made or retrieved for one class each",
            )

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return nothing beyond the task, whose fingerprint the run has."""
        return {}

    def collect(self, context: Context) -> ImageSet:
        """Return the training split."""
        task, kept_as = context.task, self.images
        split = task.split("train", context.home)
        config: Json = {"task": task.fingerprint, "sizes": task.split_sizes}
        config |= {"images": kept_as.recipe}
        stage = context.stage("real", config)

        def images(wanted: range) -> Iterator[EncodedImage]:
            for index in wanted:
                image = kept_as.fitted(split.read(index))
                key, label = digest(split.keys[index], 16), int(split.labels[index])
                yield EncodedImage(key, kept_as.encoded(image), kept_as.suffix, label, image.size)

        pack_images(stage, len(split), images)
        rows = packed_rows(stage, context.task.class_names).with_columns(origin=pl.lit("real"))
        counts = {"matched": len(split), "fetched": len(split), "kept": rows.height}
        return ImageSet.write(context.home.data, rows, task, "real", {}, counts)
