"""Collect the images of a spec's source, and estimate their cost."""

from collections.abc import Iterable

import polars as pl

from bench.core.errors import BenchError
from bench.core.json_values import Json, canonical_json
from bench.core.paths import Home
from bench.core.progress import Progress, first_few
from bench.core.specs import RunSpec
from bench.core.work_selection import EVERYTHING, NOTHING, WorkSelection
from bench.plugins import source_of
from bench.plugins.optional import CountsShards, HasJobStages, RetriesFailed, SupportsEstimate
from bench.plugins.source import Context
from bench.steps import loaded
from bench.storage.image_set import ImageSet
from bench.storage.stage import UnfinishedError


def context_of(
    spec: RunSpec, home: Home, progress: Progress, selection: WorkSelection = EVERYTHING
) -> Context:
    """Return the context of a spec's source."""
    return Context(
        home=home,
        task=loaded.task_of(spec),
        n=spec.n,
        seed=spec.seed,
        embedder=lambda name: loaded.embedder_of(home.find_weights(name)),
        progress=progress,
        selection=selection,
    )


def collect_images(
    spec: RunSpec, home: Home, progress: Progress, selection: WorkSelection = EVERYTHING
) -> ImageSet:
    """Run a spec's source, or a part of its stages.

    Raises:
        BenchError: If the source fails.
    """
    context = context_of(spec, home, progress, selection)
    images = source_of(spec.source, spec.options).collect(context)
    empty = [name for name, count in images.manifest.counts.items() if not count]
    if spec.source != "none" and empty and len(images):
        progress.say(f"{len(empty)} classes have no images: {first_few(empty)}")
    return images


def retry_failed(specs: Iterable[RunSpec], home: Home, progress: Progress) -> bool:
    """Begin another attempt at the images that specs' sources failed to get; collecting makes it.

    Returns:
        Whether there is anything to try.
    """
    arms = {(spec.task, spec.source, canonical_json(spec.options)): spec for spec in specs}
    found = False
    for spec in arms.values():
        source = source_of(spec.source, spec.options)
        if isinstance(source, RetriesFailed):
            found |= source.retry_failed(context_of(spec, home, progress, NOTHING))
    if not found:
        progress.say("--retry-failed: no download that is finished has images to try again")
    return found


def empty_classes(used: pl.DataFrame, spec: RunSpec) -> list[str]:
    """Return the classes of a run's task without an image among those used; none for no images.

    Args:
        used: The rows of the images that the run trains on.
        spec: The run.
    """
    present = set(used["class_name"])
    return [name for name in loaded.task_of(spec).class_names if present and name not in present]


def first_unfinished_stage(spec: RunSpec, home: Home) -> str | None:
    """Return the name of the first unfinished stage of a spec's source; None if all are finished.

    Raises:
        BenchError: If the source fails before it.
    """
    try:
        collect_images(spec, home, Progress(quiet=True), NOTHING)
    except UnfinishedError as unfinished:
        return unfinished.stage
    return None


def job_stages_of(spec: RunSpec) -> tuple[tuple[str, ...], ...]:
    """Return the stages of a spec's source that have jobs of their own; empty for most sources."""
    source = source_of(spec.source, spec.options)
    return source.job_stages if isinstance(source, HasJobStages) else ()


def most_shards(spec: RunSpec, home: Home, stage: str) -> int | None:
    """Return how many jobs at most find work in a stage of a spec's source; None if unknown.

    Args:
        spec: The run.
        home: The home it is kept in.
        stage: The last name of one of `job_stages_of`.
    """
    source = source_of(spec.source, spec.options)
    if not isinstance(source, CountsShards):
        return None
    try:
        return source.most_shards(stage, context_of(spec, home, Progress(quiet=True), NOTHING))
    except BenchError:  # What it depends on is not there yet, or its own jobs will say so.
        return None


def estimate(spec: RunSpec, home: Home, progress: Progress) -> Json | None:
    """Return what a spec's source will cost; None if it has no estimate."""
    source = source_of(spec.source, spec.options)
    if not isinstance(source, SupportsEstimate):
        return None
    return source.estimate(context_of(spec, home, progress))
