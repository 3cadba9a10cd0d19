"""A mixture of other sources in fixed proportions."""

from collections.abc import Mapping
from fractions import Fraction
from functools import partial

import polars as pl

from bench.core.config import Config
from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.missing import together
from bench.core.paths import Home
from bench.core.task import Task
from bench.plugins import source_of, sources
from bench.plugins.images import check_kept_alike
from bench.plugins.optional import ChecksTask, HasNotes, HasOthers, RetriesFailed, SupportsEstimate
from bench.plugins.source import Context, Source
from bench.storage.image_set import ImageSet


@sources.register("mixed")
class Mixed:
    """So many images of each of its parts, chosen as each part alone would choose them."""

    class Options(Config, frozen=True, kw_only=True):
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
        # As they are written: 0.1 is a tenth.
        exact = {name: Fraction(str(share)) for name, share in options.parts.items()}
        self.shares = {name: share / sum(exact.values()) for name, share in exact.items()}
        self.parts = {name: source_of(name, options.options[name]) for name in options.parts}
        self.images = check_kept_alike(self.parts)

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return the fingerprints of all parts."""
        found = together(
            {name: partial(part.fingerprints, home) for name, part in self.parts.items()}
        )
        return {
            f"{name}.{key}": value
            for name, fingerprints in found.items()
            for key, value in fingerprints.items()
        }

    def check(self, task: Task) -> None:
        """Check that every part supports the task.

        Raises:
            RequestError: If one does not.
        """
        for part in self.parts.values():
            if isinstance(part, ChecksTask):
                part.check(task)

    def others(self, task: Task) -> bool:
        """Return whether images of any part may be of no class."""
        return any(one.others(task) for one in self.parts.values() if isinstance(one, HasOthers))

    def notes(self, home: Home) -> list[str]:
        """Return the notes of all parts."""
        parts = [part for part in self.parts.values() if isinstance(part, HasNotes)]
        return [note for part in parts for note in part.notes(home)]

    def estimate(self, context: Context) -> Json:
        """Return what each part will cost, or that it cannot say."""
        return {
            name: part.estimate(wanted) if isinstance(part, SupportsEstimate) else "unknown"
            for name, part, wanted in self._wanted(context)
        }

    def retry_failed(self, context: Context) -> bool:
        """Begin another attempt at what the parts failed to get."""
        wanted = self._wanted(context)
        return any(
            [part.retry_failed(own) for _, part, own in wanted if isinstance(part, RetriesFailed)]
        )

    def _wanted(self, context: Context) -> list[tuple[str, Source, Context]]:
        """Return the parts that are asked for images, with their contexts."""
        if context.n is None:
            return [(name, part, context) for name, part in self.parts.items()]
        counts = apportion(context.n, self.shares)
        return [
            (name, part, context.with_n(counts[name]))
            for name, part in self.parts.items()
            if counts[name]
        ]

    def collect(self, context: Context) -> ImageSet:
        """Return exactly ``context.n`` images, or all that keep the proportions."""
        sets = {name: part.collect(wanted) for name, part, wanted in self._wanted(context)}
        if context.n is not None:
            counts = apportion(context.n, self.shares)
        else:
            for name, images in sets.items():
                if not len(images):
                    raise RequestError(
                        f"the part {name!r} of the mixture has no images for task "
                        f"{context.task.name!r}",
                        "leave it out of source.parts",
                    )
            counts = _most({name: len(images) for name, images in sets.items()}, self.shares)
        rows = [
            images.select(counts[name], context.seed, "random").with_columns(
                pl.format("{}-{}", pl.lit(name), column).alias(column)
                for column in ("key", "caption_id")
            )
            for name, images in sets.items()
            if counts[name]
        ]
        steps: Json = {name: images.manifest.stage_counts for name, images in sets.items()}
        for step in ("matched", "fetched", "kept"):
            steps[step] = sum(images.manifest.stage_counts[step] for images in sets.values())
        options = {"parts": self.options.parts}
        return ImageSet.write(
            context.home.data, pl.concat(rows), context.task, "mixed", options, steps
        )


def apportion(n: int, shares: Mapping[str, Fraction]) -> dict[str, int]:
    """Divide n images among parts, by Webster's rule: one more image never takes one from a part.

    Args:
        n: Images in all.
        shares: Each part's share; they sum to one.
    """
    # No part ever lies a whole image per part below its share, so the count may start there.
    counts = {name: max(0, int(n * share) - len(shares)) for name, share in shares.items()}
    while sum(counts.values()) < n:
        next_ = min(shares, key=lambda name: (2 * counts[name] + 1) / shares[name])
        counts[next_] += 1
    return counts


def _most(sizes: Mapping[str, int], shares: Mapping[str, Fraction]) -> dict[str, int]:
    """Return the largest mixture that the parts have images for."""
    n = min(int(size / shares[name]) for name, size in sizes.items()) + len(shares)
    while any(count > sizes[name] for name, count in apportion(n, shares).items()):
        n -= 1
    return apportion(n, shares)
