"""The task's own training images: the upper bound that no outside source is expected to reach."""

from collections.abc import Iterator

import polars as pl

from bench.core.config import Config, Positive
from bench.core.json_values import Json, digest
from bench.core.paths import Home
from bench.plugins import sources
from bench.plugins.source import Context
from bench.storage.image_set import ImageSet
from bench.storage.packing import EncodedImage, pack_images, packed_rows, shrink
from bench.storage.tar_shards import Suffix, encode


@sources.register("real")
class Real:
    """The training split, by definition free of validation and test images."""

    class Options(Config, frozen=True, kw_only=True):
        """How the images are kept."""

        image_size: Positive = 256
        """Longest side kept, in pixels."""
        suffix: Suffix = ".jpg"

    def __init__(self, options: Options) -> None:
        self.options = options

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return nothing beyond the task, whose fingerprint the run has."""
        return {}

    def collect(self, context: Context) -> ImageSet:
        """Return the training split."""
        task, options = context.task, self.options
        split = task.split("train", context.home)
        config: Json = {"task": task.fingerprint, "sizes": task.split_sizes}
        config |= {"image_size": options.image_size, "suffix": options.suffix}
        stage = context.stage("real", config)

        def images(wanted: range) -> Iterator[EncodedImage]:
            for index in wanted:
                image = shrink(split.read(index), options.image_size)
                content = encode(image, options.suffix)
                key = digest(split.keys[index], 16)
                yield EncodedImage(
                    key, content, options.suffix, int(split.labels[index]), image.size
                )

        pack_images(stage, len(split), images)
        rows = packed_rows(stage, context.task.class_names).with_columns(origin=pl.lit("real"))
        counts = {"matched": len(split), "fetched": len(split), "kept": rows.height}
        return ImageSet.write(context.home.data, rows, task, "real", {}, counts)
