"""One run, in a straight line: spec → source → images → adaptation → evaluation → record."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from bench import loaded
from bench.collect import collect_images
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.records import Counts, RunRecord
from bench.core.specs import RunSpec
from bench.judge import Judge, Verdict
from bench.plugins import objectives
from bench.runtime import distributed, provenance, threads
from bench.storage.heartbeat import heartbeat
from bench.storage.image_set import ImageSet
from bench.storage.making import making
from bench.storage.run_folder import (
    alone,
    empty_run,
    failed_record,
    now,
    read_record,
    write_record,
    write_spec,
)
from bench.tasks import find_task

if TYPE_CHECKING:
    from adapt.finetune import Adapted


def run(
    spec: RunSpec,
    home: Home,
    progress: Progress,
    *,
    fresh: bool = False,
    since: int | None = None,
) -> RunRecord:
    """Execute one run, or continue it, or return the record of the finished one.

    Under torchrun every process calls this; all but the main one only help to train.

    Args:
        spec: What to do, `bench.prepare.with_fingerprints`.
        home: Where to do it.
        progress: Where to report.
        fresh: Do it again even if it is done.
        since: Leave a run alone that has failed since, in nanoseconds of its record's date.

    Raises:
        RequestError: If the spec asks for another number of processes.
        BenchError: If the run fails; its record then says why.
    """
    distributed.check_count(spec.train)
    if not distributed.is_main_process():
        return _help(spec, home)
    folder = home.run(spec.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / ".lock", progress):
        if fresh:
            empty_run(folder)
        record = read_record(home, spec.run_id)
        if record is None or not (record.status == "done" or _is_newer(folder, since)):
            distributed.broadcast(None)
            write_spec(home, spec)
            with heartbeat(home, spec.run_id, progress):
                record = _record_of(spec, home, progress)
        return distributed.broadcast(record)


def _is_newer(folder: Path, since: int | None) -> bool:
    return since is not None and (folder / "record.json").stat().st_mtime_ns >= since


def _record_of(spec: RunSpec, home: Home, progress: Progress) -> RunRecord:
    """Execute a run and write its record, whatever comes of it."""
    started = now()
    try:
        record = _execute(spec, home, progress, started)
    except Exception as error:
        write_record(home, failed_record(spec, started, error))
        raise
    write_record(home, record)
    return record


def _execute(spec: RunSpec, home: Home, progress: Progress, started: str) -> RunRecord:
    """Collect, adapt and evaluate; the test split is scored last."""
    clock = _Clock(progress)
    with clock.timed("source"), making(spec, home):
        images = collect_images(spec, home, progress)
        rows = _rows(images, spec)
    distributed.broadcast(images.folder)
    with threads.suited(home.find_weights(spec.model)):
        with clock.timed("load"):
            loaded.clip_of(str(home.find_weights(spec.model)))
        judge = Judge(spec, home)
        with clock.timed("adapt"):
            adapted = _adapt(spec, home, rows, judge, progress)
        with clock.timed("evaluate"):
            verdicts = judge.evaluate(adapted)
        judge.write_predictions(verdicts, home.run(spec.run_id) / "predictions.parquet")
        return RunRecord(
            run_id=spec.run_id,
            status="done",
            spec=spec,
            **_facts_of_images(images, rows, spec),
            **_facts_of_model(adapted, verdicts, spec),
            **_facts_of_machine(),
            timings={**clock.seconds, **adapted.timings},
            weights=loaded.clip_of(str(home.find_weights(spec.model))).weights_hash,
            started=started,
            finished=now(),
        )


def _help(spec: RunSpec, home: Home) -> RunRecord:
    """Train beside the main process, on the images that it collects; return its record."""
    done: RunRecord | None = distributed.broadcast(None)
    if done is not None:
        return done
    folder: Any = distributed.broadcast(None)
    rows = _rows(ImageSet.open(folder, home.data), spec)
    _adapt(spec, home, rows, Judge(spec, home), Progress(quiet=True))
    record: Any = distributed.broadcast(None)
    return record  # type: ignore[no-any-return]


def _rows(images: ImageSet, spec: RunSpec) -> pl.DataFrame:
    return images.select(spec.n, spec.seed, spec.order) if spec.n != 0 else images.index()


def _adapt(
    spec: RunSpec, home: Home, rows: pl.DataFrame, judge: Judge, progress: Progress
) -> "Adapted":
    from adapt.augment import Augment
    from adapt.data import TrainingImages
    from adapt.finetune import finetune
    from adapt.models import Classifier

    clip = loaded.clip_of(str(home.find_weights(spec.model)))
    images = None
    if rows.height:
        augment = Augment.of(clip.preprocess_train)
        images = TrainingImages(home.data, rows, augment, spec.seed)
    return finetune(
        Classifier.from_clip(clip, find_task(spec.task), spec.train.head_init, spec.seed),
        images,
        objectives.get(spec.objective)(),
        spec.train,
        folder=home.run(spec.run_id) / "checkpoints",
        validate=judge.validate,
        progress=progress,
    )


def _facts_of_images(images: ImageSet, rows: pl.DataFrame, spec: RunSpec) -> Json:
    counts = dict(images.manifest.stage_counts)
    fidelity = counts.pop("fidelity", {})
    steps = {name: counts.get(name, 0) for name in ("matched", "fetched", "kept")}
    return {
        "n": Counts(asked=spec.n, **steps, used=rows.height),
        "image_set": images.manifest.content,
        "stage_counts": counts,
        "fidelity": fidelity,
    }


def _facts_of_model(adapted: "Adapted", verdicts: list[Verdict], spec: RunSpec) -> Json:
    from eval.metrics.intervals import scores

    tested = {name: found.details for name, split, found in verdicts if split == "test"}
    return {
        "scores": [score for verdict in verdicts for score in scores(*verdict)],
        "details": {name: details for name, details in tested.items() if details},
        "images_per_second": adapted.images_per_second,
        "selection": {
            "split": "val",
            "by": spec.train.select_by,
            "metric": find_task(spec.task).metric,
            "epoch": adapted.chosen.epoch,
            "history": [msgspec.to_builtins(epoch) for epoch in adapted.history],
        },
    }


def _facts_of_machine() -> Json:
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
