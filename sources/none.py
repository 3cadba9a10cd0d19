"""No images: the unadapted model, which every other source is compared with."""

import polars as pl

from bench.core.config import Config
from bench.core.paths import Home
from bench.plugins import sources
from bench.plugins.source import Context
from bench.storage.image_set import ImageSet
from bench.storage.tar_shards import INDEX_SCHEMA


@sources.register("none")
class Nothing:
    """The empty set."""

    class Options(Config, frozen=True, kw_only=True):
        """There is nothing to choose."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return nothing: it depends on nothing."""
        return {}

    def collect(self, context: Context) -> ImageSet:
        """Return the empty set."""
        rows = pl.DataFrame(schema=INDEX_SCHEMA)
        return ImageSet.write(context.home.data, rows, context.task, "none", {}, {})
