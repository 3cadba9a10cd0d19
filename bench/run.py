"""Execute one run: spec → source → images → adaptation → evaluation → record."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from bench.core.errors import TooFewImagesError
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.progress import Progress, first_few
from bench.core.records import Counts, RunRecord
from bench.core.specs import RunSpec
from bench.plugins import needs_of, objective_of
from bench.runtime import distributed, provenance, threads
from bench.steps import loaded
from bench.steps.collect import collect_images, empty_classes
from bench.steps.judge import Judge, Verdict, scores_of_classes
from bench.storage.heartbeat import heartbeat
from bench.storage.image_set import ImageSet
from bench.storage.run_folder import (
    clear_run,
    failed_record,
    now,
    read_record,
    run_lock,
    write_record,
    write_spec,
)
from bench.storage.source_locks import marked_as_collecting

if TYPE_CHECKING:
    from adapt.batches.groups import Grouped
    from adapt.finetune import Adapted


def run(
    spec: RunSpec,
    home: Home,
    progress: Progress,
    *,
    fresh: bool = False,
    since: int | None = None,
) -> RunRecord:
    """Execute a run, continue it, or return the record of the finished one.

    Under torchrun every process calls this; all but the main one only help to train.

    Args:
        spec: The run, as `bench.steps.prepare.with_fingerprints` returns it.
        home: Where it is kept.
        progress: Where to report.
        fresh: Whether to run it again even if it is done.
        since: Do not retry a run whose record was written since, in nanoseconds.

    Raises:
        RequestError: If the spec asks for another number of processes.
        BenchError: If the run fails; its record then says why.
    """
    distributed.check_count(spec.train)
    if not distributed.is_main_process():
        return _help_to_train(spec, home)
    folder = home.run(spec.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder / ".lock", progress):
        if fresh:
            clear_run(folder)
        record = _kept_record(spec, home, since)
        distributed.broadcast(record)
        if record is None:
            write_spec(home, spec)
            with heartbeat(home, spec.run_id, progress):
                record = _executed(spec, home, progress)
            distributed.broadcast(record)
        return record


def _kept_record(spec: RunSpec, home: Home, since: int | None) -> RunRecord | None:
    """Return the record of a run that is not to be executed, or None."""
    record = read_record(home, spec.run_id)
    if record is None or record.status == "done":
        return record
    if since is None:
        return None
    written = (home.run(spec.run_id) / "record.json").stat().st_mtime_ns
    return record if written >= since else None


def _executed(spec: RunSpec, home: Home, progress: Progress) -> RunRecord:
    """Execute a run and write its record, whether it succeeds or fails."""
    started = now()
    try:
        record = _execute(spec, home, progress, started)
    except Exception as error:
        write_record(home, failed_record(spec, started, error))
        if isinstance(error, TooFewImagesError):
            distributed.broadcast(error)  # The other processes wait for the images.
        raise
    write_record(home, record)
    return record


def _execute(spec: RunSpec, home: Home, progress: Progress, started: str) -> RunRecord:
    """Collect images, adapt, evaluate; the test split is scored last."""
    weights = home.find_weights(spec.model)
    clock = _Clock(progress)
    with clock.timed("source"), marked_as_collecting(spec, home):
        images = collect_images(spec, home, progress)
        rows = _sampled(images, spec)
    distributed.broadcast(images.folder)
    grouped = _grouped(rows, spec)
    if grouped.images_left_out:
        progress.say(
            f"left out: {grouped.images_left_out:,} of {rows.height:,} images, as their groups "
            f"({grouped.groups_left_out:,}) are too small for the objective {spec.objective}"
        )
    if empty := empty_classes(grouped.rows, spec):
        some = f"{len(empty)} ({first_few(empty)})"
        progress.say(f"classes without an image among the {grouped.rows.height:,} used: {some}")
    with threads.limited_for(weights):
        with clock.timed("load"):
            clip = loaded.clip_of(str(weights))
        judge = Judge(spec, home)
        with clock.timed("adapt"):
            adapted = _adapt(spec, home, grouped, judge, progress)
        with clock.timed("evaluate"):
            verdicts = judge.evaluate(adapted)
        predictions = home.run(spec.run_id) / "predictions.parquet"
        judge.write_predictions(verdicts, adapted, predictions)
        return RunRecord(
            run_id=spec.run_id,
            status="done",
            spec=spec,
            empty_classes=empty,
            scores_of_classes=scores_of_classes(verdicts, loaded.task_of(spec).class_names, empty),
            task_notes=loaded.task_of(spec).notes(),
            **_image_fields(images, grouped, spec),
            **_model_fields(adapted, verdicts, spec),
            **_machine_fields(),
            timings={**clock.seconds, **adapted.timings},
            weights=clip.weights_hash,
            started=started,
            finished=now(),
        )


def _help_to_train(spec: RunSpec, home: Home) -> RunRecord:
    """Train beside the main process, on the images that it collects; return its record."""
    record: RunRecord | None = distributed.broadcast()
    if record is not None:
        return record
    folder: Path | TooFewImagesError = distributed.broadcast()
    if isinstance(folder, TooFewImagesError):
        raise folder
    rows = _sampled(ImageSet.open(folder, home.data), spec)
    _adapt(spec, home, _grouped(rows, spec), Judge(spec, home), Progress(quiet=True))
    return distributed.broadcast()


def _sampled(images: ImageSet, spec: RunSpec) -> pl.DataFrame:
    return images.select(spec.n, spec.seed, spec.order) if spec.n != 0 else images.index()


def _grouped(rows: pl.DataFrame, spec: RunSpec) -> "Grouped":
    """Return the images that the objective can use, the same in every process.

    Raises:
        RequestError: If there are none.
    """
    from adapt.batches.groups import grouped

    return grouped(rows, needs_of(spec))


def _adapt(
    spec: RunSpec, home: Home, grouped: "Grouped", judge: Judge, progress: Progress
) -> "Adapted":
    from adapt.batches.groups import pair_ids
    from adapt.finetune import finetune
    from adapt.models import Classifier
    from adapt.text_tower import TextTower
    from adapt.training_images import training_images

    clip, task = loaded.start_of(spec, home), loaded.task_of(spec)
    objective, images = objective_of(spec.objective, spec.objective_options), None
    if grouped.rows.height:
        images = training_images(
            home.data,
            grouped.rows,
            clip,
            objective.needs,
            crop=spec.train.crop,
            seed=spec.seed,
            groups=grouped.groups,
            pairs=pair_ids(grouped.rows) if spec.train.adjacent else None,
        )
    return finetune(
        Classifier.from_clip(clip, task, spec.train.head_init, spec.seed),
        images,
        objective,
        spec.train,
        folder=home.run(spec.run_id) / "checkpoints",
        validate=judge.validate,
        progress=progress,
        texts=TextTower.from_clip(clip, task) if objective.needs.texts else None,
    )


def _image_fields(images: ImageSet, grouped: "Grouped", spec: RunSpec) -> Json:
    counts = dict(images.manifest.stage_counts)
    if grouped.images_left_out:
        left_out = {"images": grouped.images_left_out, "groups": grouped.groups_left_out}
        counts["too_small_groups"] = left_out
    fidelity = counts.pop("fidelity", {})
    steps = {name: counts.get(name, 0) for name in ("matched", "fetched", "kept")}
    captions = grouped.rows.filter(pl.col("caption") != "")["caption"].n_unique()
    used = grouped.rows.height
    needs = needs_of(spec)
    return {
        "n": Counts(asked=spec.n, **steps, used=used, captions=captions or None),
        "positives": needs.group if needs.coupled and used else "",
        "image_set": images.manifest.content,
        "stage_counts": counts,
        "fidelity": fidelity,
    }


def _model_fields(adapted: "Adapted", verdicts: list[Verdict], spec: RunSpec) -> Json:
    from eval.metrics.intervals import scores

    tested = {
        verdict.evaluator: verdict.evaluation.details
        for verdict in verdicts
        if (verdict.split, verdict.at_epoch) == ("test", "chosen")
    }
    return {
        "scores": [score for verdict in verdicts for score in scores(*verdict)],
        "details": {name: details for name, details in tested.items() if details},
        "images_per_second": adapted.images_per_second,
        "selection": {
            "split": "val",
            "by": spec.train.select_by,
            "metric": loaded.task_of(spec).metric,
            "epoch": adapted.epochs["chosen"],
            "trained_epoch": adapted.epochs["trained"],
            "last_epoch": adapted.epochs["last"],
            "history": [msgspec.to_builtins(epoch) for epoch in adapted.history],
        },
    }


def _machine_fields() -> Json:
    return {
        "processes": distributed.count(),
        "peak_memory_mb": round(provenance.peak_memory_mb(), 1),
        "device": provenance.device(),
        "versions": provenance.versions(),
        "git": provenance.git(),
    }


class _Clock:
    """Seconds per step of a run."""

    def __init__(self, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        self._progress.begin(step)
        start = time.monotonic()
        yield
        self.seconds[step] = round(time.monotonic() - start, 3)
