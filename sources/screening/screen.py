"""Screening: scores, the rules that retrieved images are kept by, copies, and the count of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import polars as pl

from bench.core.config import Positive
from bench.core.errors import BenchError, RequestError
from bench.core.json_values import Json
from bench.plugins.source import Context
from bench.storage.image_set import ImageSet
from bench.storage.stage import Stage
from sources.generation.generate import drawn_rows
from sources.generation.options import GeneratorOptions
from sources.generation.shard import DEFECTS
from sources.screening.audit import write_filtering, write_removed
from sources.screening.counts import by_class
from sources.screening.dedup import Deduplicated, drop_duplicates
from sources.screening.filter import FilterOptions, domain_scored, passes, scored

_RULE = ("tau", "top_fraction", "cap")


class ScreeningOptions(GeneratorOptions, frozen=True, kw_only=True):
    """How images are generated, and which of them are kept."""

    filter_model: str
    """Weights of the CLIP that scores the images."""
    filter: Literal["none", "threshold", "class-threshold", "top-fraction"] = "none"
    """The rule, as for retrieved images; the paper filters no generated ones (002, section 3)."""
    tau: Annotated[float, msgspec.Meta(ge=-1, le=1)] | None = None
    """Cosine above which an image is kept; None for 0.2 with the threshold rules."""
    top_fraction: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """Share of each class that is kept; None for 0.3 with top-fraction."""
    cap: Positive | None = None
    """Images of a class that are kept at most; None for 10,000 with top-fraction."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in _RULE:
            if self.filter == "none" and getattr(self, name) is not None:
                raise ValueError(f"{name} means nothing to filter=none; leave it out")
            if self.rule is not None:
                msgspec.structs.force_setattr(self, name, getattr(self.rule, name))

    @property
    def rule(self) -> FilterOptions | None:
        """The rule as retrieved images know it; None for none."""
        if self.filter == "none":
            return None
        values = {name: getattr(self, name) for name in _RULE}
        return FilterOptions(filter_model=self.filter_model, filter=self.filter, **values)

    @property
    def described(self) -> Json:
        """What an image set says about how it was made; the rule, where there is one."""
        names = ("generator", "steps", "guidance", "safety")
        rule = {} if self.rule is None else self.rule.rule
        return {name: getattr(self, name) for name in names} | rule


@dataclass(frozen=True)
class Screened:
    """What screening left.

    Attributes:
        images: Every image that there is, embedded and scored.
        passing: Which of them the rule keeps.
        unique: What de-duplication left of those.
    """

    images: pl.DataFrame
    passing: pl.Series
    unique: Deduplicated


def check_cap(options: ScreeningOptions, needed: int, context: Context) -> None:
    """Refuse a cap that leaves too few images, however many are made.

    Raises:
        RequestError: If it does.
    """
    most = (options.cap or needed) * len(context.task.class_names)
    if most < needed:
        raise RequestError(
            f"{needed} images are asked for, and source.cap={options.cap} leaves {most} at most",
            "ask for fewer, or raise source.cap",
        )


def screen(
    embedded: Sequence[Stage], options: ScreeningOptions, context: Context, labels: pl.DataFrame
) -> Screened:
    """Score drawn images, keep those that pass, and remove copies.

    Args:
        embedded: Finished descriptions.
        options: The rule.
        context: What the source was given.
        labels: Key and label of every image.

    Raises:
        BenchError: If nothing is left: no larger number of images would help.
    """
    if options.rule is None:
        images = domain_scored(embedded, options.filter_model, context)
        images = images.join(labels, on="key", how="left", maintain_order="left")
        passing = pl.repeat(True, images.height, eager=True, dtype=pl.Boolean)
    else:
        images = scored(embedded, options.rule, context, labels)
        passing = passes(images, options.rule)
    unique = drop_duplicates(images.filter(passing), context)
    kept, passed = unique.rows.height, int(passing.sum())
    if not passed:
        raise BenchError(
            f"none of {labels.height} generated images is left: {images.height} could be drawn",
            "look at the generator's images, and at source.filter",
        )
    if kept < passed / 2:
        raise BenchError(
            f"most generated images are copies: {unique.counts}",
            "the generator's images hardly differ; look at them",
        )
    return Screened(images, passing, unique)


def yields_of(
    asked: pl.DataFrame, drawn: Sequence[Stage], screened: Screened, context: Context
) -> Json:
    """Return what each step left, in all and by class, and why the rest is not there.

    Args:
        asked: Key, label and class_name of every image that was to be drawn.
        drawn: Finished stages that drew them.
        screened: What was left of them.
        context: What the source was given.
    """
    outcomes = drawn_rows(drawn).join(asked.select("key", "class_name"), on="key")
    kept = screened.unique.rows
    classes = by_class(
        context.task.class_names, asked, outcomes.select("key", "failure"), kept=kept
    )
    counts = {**{name: pl.col(name).sum() for name in DEFECTS}}
    counts |= {name: pl.col(name).sum() for name in ("truncated", "flagged")}
    for row in outcomes.group_by("class_name").agg(**counts).iter_rows(named=True):
        found = classes[row["class_name"]]
        found |= {"truncated": row["truncated"], "flagged": row["flagged"]}
        found["bad draws"] = {name: row[name] for name in DEFECTS if row[name]}
    return {
        "matched": asked.height,
        "fetched": screened.images.height,
        "failed": dict(outcomes.drop_nulls("failure").group_by("failure").len().iter_rows()),
        "bad draws": {name: int(outcomes[name].sum()) for name in DEFECTS},
        "captions cut": int(outcomes["truncated"].sum()),
        "flagged": int(outcomes["flagged"].sum()),
        "batch halved": sum(stage.info()["halved"] for stage in drawn),
        "filtered": int((~screened.passing).sum()),
        "duplicates": screened.unique.counts,
        "kept": kept.height,
        "classes": classes,
    }


def write_evidence(made: ImageSet, screened: Screened, rule: object, context: Context) -> None:
    """Write, beside an image set, what the filter and de-duplication removed."""
    if rule is not None:
        write_filtering(made, screened.images, screened.passing)
    passed = screened.images.filter(screened.passing)
    write_removed(made, passed, screened.unique.removed, context)
