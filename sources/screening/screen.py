"""Screening: scores, the rules that retrieved images are kept by, copies, and the count of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from bench.core.errors import BenchError, RequestError
from bench.core.json_values import Json
from bench.core.task import NO_LABEL
from bench.plugins.source import Context
from bench.storage.image_set import ImageSet
from bench.storage.stage import Stage
from sources.generation.generate import generated_rows
from sources.generation.shard import DEFECTS
from sources.screening.audit import write_copies, write_filtering
from sources.screening.counts import by_class
from sources.screening.dedup import Deduplicated, drop_duplicates
from sources.screening.embed import embed
from sources.screening.filter import scored
from sources.screening.rules import Filter, NoFilter, TopFraction


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


def check_cap(rule: Filter, needed: int, context: Context) -> None:
    """Refuse a cap that leaves too few images, however many are made.

    Raises:
        RequestError: If it does.
    """
    if not isinstance(rule, TopFraction):
        return
    most = rule.cap * len(context.task.class_names)
    if most < needed:
        raise RequestError(
            f"{needed} images are asked for, and source.filter.cap={rule.cap} leaves {most}",
            "ask for fewer, or raise source.filter.cap",
        )


class Generation(Protocol):
    """Images that a source has generated so far, and how it generates more."""

    @property
    def requested(self) -> pl.DataFrame:
        """Key, label, class_name and more of every image that was to be generated."""

    @property
    def stages(self) -> Sequence[Stage]:
        """The finished stages that generated them."""

    def extend(self, kept: int, needed: int) -> bool:
        """Generate as many more as would do, if as large a share of them was kept.

        Args:
            kept: Images that were kept so far; above zero.
            needed: Images to keep; more than that.

        Returns:
            Whether there was more to generate from.
        """


def collect_until(
    needed: int | None, generation: Generation, rule: Filter, context: Context
) -> Screened:
    """Generate and screen images until enough are kept, or there are no more.

    Args:
        needed: Images to keep; None for those that there are.
        generation: What generates them.
        rule: Which images are kept.
        context: What the source was given.

    Raises:
        BenchError: As `screen` and the generation do.
    """
    while True:
        embedded = [embed(stage, rule.model, context) for stage in generation.stages]
        screened = screen(embedded, rule, context, generation.requested.select("key", "label"))
        kept = screened.unique.rows.height
        if not needed or kept >= needed or not generation.extend(kept, needed):
            return screened


def screen(
    embedded: Sequence[Stage], rule: Filter, context: Context, labels: pl.DataFrame
) -> Screened:
    """Score generated images, keep those that pass, and remove copies.

    Args:
        embedded: Finished embeddings.
        rule: Which images are kept.
        context: What the source was given.
        labels: Key and label of every image.

    Raises:
        BenchError: If nothing is left: no larger number of images would help.
    """
    images = scored(embedded, rule, context, labels)
    passing = rule.passes(images)
    unique = drop_duplicates(images.filter(passing), context, drop_train=rule.drop_train_copies)
    kept, passed = unique.rows.height, int(passing.sum())
    if not passed:
        raise BenchError(
            f"none of {labels.height} images is left: {images.height} could be generated",
            "look at the generator's images, and at source.filter",
        )
    if kept < passed / 2:
        raise BenchError(
            f"most generated images are copies: {unique.counts}",
            "the generator's images hardly differ; look at them",
        )
    return Screened(images, passing, unique)


def counts_of(generation: Generation, screened: Screened, context: Context) -> Json:
    """Return what each step left, in all, by class and of ``others``, and why the rest is missing.

    Args:
        generation: What generated the images.
        screened: What was left of them.
        context: What the source was given.
    """
    requested, stages = generation.requested, generation.stages
    # What has no class is counted together, whatever it is called.
    requested = requested.with_columns(
        class_name=pl.when(pl.col("label") != NO_LABEL).then("class_name")
    )
    outcomes = generated_rows(stages).join(requested.select("key", "class_name"), on="key")
    kept = screened.unique.rows
    classes = by_class(
        (*context.task.class_names, None), requested, outcomes.select("key", "failure"), kept=kept
    )
    sums = {name: pl.col(name).sum() for name in (*DEFECTS, "truncated", "flagged")}
    for row in outcomes.group_by("class_name").agg(**sums).iter_rows(named=True):
        classes[row["class_name"]] |= {
            "truncated": row["truncated"],
            "flagged": row["flagged"],
            "failed attempts": {name: row[name] for name in DEFECTS if row[name]},
        }
    others = classes.pop(None)
    return {
        "matched": requested.height,
        "fetched": screened.images.height,
        "failed": dict(outcomes.drop_nulls("failure").group_by("failure").len().iter_rows()),
        "failed attempts": {name: int(outcomes[name].sum()) for name in DEFECTS},
        "captions truncated": int(outcomes["truncated"].sum()),
        "flagged": int(outcomes["flagged"].sum()),
        "batch halved": sum(stage.info()["halved"] for stage in stages),
        "filtered": int((~screened.passing).sum()),
        "duplicates": screened.unique.counts,
        "kept": kept.height,
        "classes": classes,
        **({"others": others} if others["matched"] else {}),
    }


def write_audit(images: ImageSet, screened: Screened, rule: Filter, context: Context) -> None:
    """Write, beside an image set, what the filter and de-duplication removed."""
    if not isinstance(rule, NoFilter):
        write_filtering(images, screened.images, screened.passing)
    passed = screened.images.filter(screened.passing)
    write_copies(images, passed, screened.unique.copies, context)
