"""A mixture of other sources in fixed proportions."""

import polars as pl

from bench.errors import RequestError
from bench.manifest import ImageSet
from bench.paths import Home
from bench.plugins import source_of, sources
from bench.types import Context, Declared, Json


@sources.register("mixed")
class Mixed:
    """So many images of each of its parts, drawn as each part alone would draw them."""

    class Options(Declared, frozen=True, kw_only=True):
        """The parts."""

        parts: dict[str, float]
        """Source name to its share; shares are divided by their sum."""
        options: dict[str, Json] = {}
        """Options of each part; the preset's where none are given."""

    def __init__(self, options: Options) -> None:
        if not options.parts or min(options.parts.values()) <= 0:
            raise RequestError("a mixture needs parts with shares above zero")
        if {"mixed", "none"} & set(options.parts):
            raise RequestError("'mixed' and 'none' cannot be parts of a mixture")
        self.options = options
        total = sum(options.parts.values())
        self.shares = {name: share / total for name, share in options.parts.items()}
        self.parts = {name: source_of(name, options.options[name]) for name in options.parts}

    def pins(self, home: Home) -> dict[str, str]:
        """Return the fingerprints of all parts."""
        return {
            f"{name}.{key}": value
            for name, part in self.parts.items()
            for key, value in part.pins(home).items()
        }

    def collect(self, context: Context) -> ImageSet:
        """Return exactly ``context.n`` images, or all that keep the proportions."""
        sets = {
            name: part.collect(context.wanting(self._count(name, context.n)))
            for name, part in self.parts.items()
        }
        n = context.n
        if n is None:
            n = min(int(len(images) / self.shares[name]) for name, images in sets.items())
        rows = [
            images.select(count, context.seed, "random").with_columns(
                pl.format("{}-{}", pl.lit(name), "key").alias("key")
            )
            for name, images in sets.items()
            if (count := self._count(name, n))
        ]
        yields: Json = {name: images.manifest.yields for name, images in sets.items()}
        for step in ("matched", "fetched", "kept"):
            yields[step] = sum(images.manifest.yields[step] for images in sets.values())
        options = {"parts": self.options.parts}
        return ImageSet.write(
            context.home.data, pl.concat(rows), context.task, "mixed", options, yields
        )

    def _count(self, name: str, n: int | None) -> int | None:
        """Return a part's number of images; the last part takes what rounding leaves."""
        if n is None:
            return None
        counts = {part: int(n * share) for part, share in self.shares.items()}
        counts[list(counts)[-1]] += n - sum(counts.values())
        return counts[name]
