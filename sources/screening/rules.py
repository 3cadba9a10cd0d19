"""The rules that say which scored images are kept; ``source.filter.rule`` names one."""

from typing import Annotated, ClassVar

import msgspec
import polars as pl

from bench.core.config import Config, Positive, WeightsText
from bench.core.errors import RequestError


class Filter(Config, frozen=True, kw_only=True, tag_field="rule"):
    """What every rule has: the CLIP that scores images, and how it scores them."""

    model: WeightsText
    """Weights of the CLIP that scores images; may differ from the adapted one."""
    drop_train_copies: bool = False
    """Remove copies of the task's train images too; if not, they stay and are counted."""

    by_class: ClassVar[bool] = False
    """Whether the score is the cosine with the prompts of the image's class; else it is the largest
    cosine with a domain text."""
    dropped: ClassVar[str]
    """What the counts call the images that are not kept."""

    def passes(self, rows: pl.DataFrame) -> pl.Series:
        """Return which scored rows (key, label, clip_score) are kept."""
        raise NotImplementedError


class NoFilter(Filter, frozen=True, kw_only=True, tag="none"):
    """Keep every image: the paper filters no generated ones (Geng 2024, section 3)."""

    dropped: ClassVar[str] = "filtered"

    def passes(self, rows: pl.DataFrame) -> pl.Series:
        """Return that all rows are kept."""
        return pl.repeat(True, rows.height, eager=True, dtype=pl.Boolean)


class Threshold(Filter, frozen=True, kw_only=True, tag="threshold"):
    """Keep what is similar enough to the domain (Geng 2024, section 3)."""

    tau: Annotated[float, msgspec.Meta(ge=-1, le=1)] = 0.2
    """Cosine above which an image is kept."""

    dropped: ClassVar[str] = "below tau"

    def passes(self, rows: pl.DataFrame) -> pl.Series:
        """Return which rows have a score above tau."""
        return rows["clip_score"] > self.tau


class ClassThreshold(Threshold, frozen=True, kw_only=True, tag="class-threshold"):
    """Keep what is similar enough to its own class."""

    by_class: ClassVar[bool] = True


class TopFraction(Filter, frozen=True, kw_only=True, tag="top-fraction"):
    """Keep the top of each class (Geng 2024, code, clip_filter_and_dedup.py:33)."""

    fraction: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.3
    """Share of each class that is kept, rounded up."""
    cap: Positive = 10_000
    """Images of a class that are kept at most."""

    by_class: ClassVar[bool] = True
    dropped: ClassVar[str] = "outside the top fraction"

    def passes(self, rows: pl.DataFrame) -> pl.Series:
        """Return which rows are among the best of their class."""
        most = (self.fraction * pl.len()).ceil().clip(upper_bound=self.cap)
        place = pl.struct(-pl.col("clip_score"), "key").rank("ordinal")
        return rows.select((place <= most).over("label").alias("passes"))["passes"]


def check_others(rule: Filter) -> None:
    """Refuse a rule that looks at each image's class, where some images have none.

    Raises:
        RequestError: If it does.
    """
    if rule.by_class:
        raise RequestError(
            f"source.filter.rule={rule.__struct_config__.tag} looks at each image's class, and "
            "there are images of no class of the task",
            "set source.filter.rule to none or threshold",
        )


Rule = Threshold | ClassThreshold | TopFraction
OptionalRule = NoFilter | Threshold | ClassThreshold | TopFraction
