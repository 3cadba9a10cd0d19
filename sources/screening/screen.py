"""Screening: scores, the rules that retrieved images are kept by, copies, and the count of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from bench.core.errors import BenchError, RequestError
from bench.core.json_values import Json
from bench.plugins.source import Context
from bench.storage.image_set import ImageSet
from bench.storage.stage import Stage
from sources.generation.generate import drawn_rows
from sources.generation.shard import DEFECTS
from sources.screening.audit import write_filtering, write_removed
from sources.screening.counts import by_class
from sources.screening.dedup import Deduplicated, drop_duplicates
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


def screen(
    embedded: Sequence[Stage], rule: Filter, context: Context, labels: pl.DataFrame
) -> Screened:
    """Score drawn images, keep those that pass, and remove copies.

    Args:
        embedded: Finished descriptions.
        rule: Which images are kept.
        context: What the source was given.
        labels: Key and label of every image.

    Raises:
        BenchError: If nothing is left: no larger number of images would help.
    """
    images = scored(embedded, rule, context, labels)
    passing = rule.passes(images)
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


def write_evidence(made: ImageSet, screened: Screened, rule: Filter, context: Context) -> None:
    """Write, beside an image set, what the filter and de-duplication removed."""
    if not isinstance(rule, NoFilter):
        write_filtering(made, screened.images, screened.passing)
    passed = screened.images.filter(screened.passing)
    write_removed(made, passed, screened.unique.removed, context)
