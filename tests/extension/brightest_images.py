"""The task's own training images, the dark ones left out."""

import polars as pl
from PIL import ImageStat

from bench.plugins import Config, Context, Home, ImageSet, read_image, source_of, sources


@sources.register("brightest")
class Brightest:
    """Training images whose mean brightness is above a threshold."""

    class Options(Config, frozen=True, kw_only=True):
        """What `--set source.NAME=VALUE` may change."""

        above: float = 0.0
        """Mean brightness, 0 to 255."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.real = source_of("real", {"images": {"suffix": ".png"}})

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return fingerprints of what the images depend on besides the options."""
        return self.real.fingerprints(home)

    def collect(self, context: Context) -> ImageSet:
        """Return the images."""
        images = self.real.collect(context)
        rows = images.index()
        bright = [
            ImageStat.Stat(read_image(images.data, *place).convert("L")).mean[0]
            for place in rows.select("shard", "offset", "size", "sha256").iter_rows()
        ]
        kept = rows.filter(pl.Series(bright) > self.options.above)
        counts = {**images.manifest.stage_counts, "kept": kept.height}
        options = {"above": self.options.above}
        return ImageSet.write(context.home.data, kept, context.task, "brightest", options, counts)
