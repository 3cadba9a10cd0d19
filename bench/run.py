"""One run, in a straight line: spec → source → images → adaptation → evaluation → record."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl

from bench import loaded
from bench.core.files import fingerprint, temporary_name, write_atomic
from bench.core.json_values import Json
from bench.core.memo import looking_once
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.records import Counts, RunRecord
from bench.core.specs import RunSpec
from bench.core.task import Task
from bench.core.work_selection import EVERYTHING, Scope
from bench.plugins import evaluator_of, objectives, source_of
from bench.plugins.evaluation import Evaluation
from bench.plugins.optional import Choosy, Estimates
from bench.plugins.source import Context
from bench.runtime import distributed, provenance, threads
from bench.storage.heartbeat import heartbeat
from bench.storage.image_set import ImageSet
from bench.storage.making import making
from bench.storage.run_folder import alone, empty_run, failed_record, now, read_record, write_record
from bench.tasks import find_task

if TYPE_CHECKING:
    from adapt.finetune import Adapted
    from adapt.models import Classifier, Clip
    from eval.features.features import ModelFeatures, TaskImages


def pinned(spec: RunSpec, home: Home) -> RunSpec:
    """Return a spec with the fingerprints of everything outside that its result depends on.

    Raises:
        RequestError: If anything the run needs is absent, with the remedy; no work was done.
    """
    task = find_task(spec.task)
    objectives.check(spec.objective)
    for name, options in spec.evaluators.items():
        judge = evaluator_of(name, options)
        if isinstance(judge, Choosy):
            judge.check(task)
    _check_precision(spec)
    source = source_of(spec.source, spec.options)
    if isinstance(source, Choosy):
        source.check(task)
    outside = source.pins(home)
    model = fingerprint(home.find_weights(spec.model))
    task.check(home)
    pins = {"task": task.pin, "model": model, **outside}
    return msgspec.structs.replace(spec, pins=pins)


def pinned_all(specs: Sequence[RunSpec], home: Home) -> list[RunSpec]:
    """Return every spec `pinned`; what they share outside is looked at once.

    Raises:
        RequestError: If anything that a run needs is absent, with the remedy; no work was done.
    """
    pins: dict[bytes, dict[str, str]] = {}
    found = []
    with looking_once():
        for spec in specs:
            # All that `pinned` reads; n, seed and the rest of the training leave it as it is.
            needs = (spec.task, spec.source, spec.options, spec.model, spec.objective)
            key = msgspec.json.encode((*needs, spec.evaluators, spec.train.precision))
            if key not in pins:
                pins[key] = pinned(spec, home).pins
            found.append(msgspec.structs.replace(spec, pins=pins[key]))
    return found


def _check_precision(spec: RunSpec) -> None:
    """Make sure that this machine trains in the precision asked for; any does in fp32."""
    if spec.train.precision == "fp32":
        return
    import torch

    from adapt.stepper import check_precision

    check_precision(spec.train.precision, torch.device(loaded.device()))


def context_of(spec: RunSpec, home: Home, progress: Progress, scope: Scope = EVERYTHING) -> Context:
    """Return what a spec's source is given."""
    return Context(
        home=home,
        task=find_task(spec.task),
        n=spec.n,
        seed=spec.seed,
        embedder=lambda name: loaded.embedder_of(home.find_weights(name)),
        progress=progress,
        scope=scope,
    )


def collect_images(
    spec: RunSpec, home: Home, progress: Progress, scope: Scope = EVERYTHING
) -> ImageSet:
    """Run a spec's source, or a part of its stages.

    Raises:
        BenchError: If the source fails.
    """
    context = context_of(spec, home, progress, scope)
    images = source_of(spec.source, spec.options).collect(context)
    empty = [name for name, count in images.manifest.counts.items() if not count]
    if spec.source != "none" and empty and len(images):
        progress.say(f"{len(empty)} classes have no images: {', '.join(empty[:5])}")
    return images


def estimate(spec: RunSpec, home: Home, progress: Progress) -> Json | None:
    """Return what a spec's source will cost; None if it is not of the kind that says."""
    source = source_of(spec.source, spec.options)
    if not isinstance(source, Estimates):
        return None
    return source.estimate(context_of(spec, home, progress))


def run(
    spec: RunSpec,
    home: Home,
    progress: Progress,
    *,
    fresh: bool = False,
    since: int | None = None,
) -> RunRecord:
    """Carry out one run, or continue it, or return the record of the finished one.

    Under torchrun every process calls this; all but the first only help to train.

    Args:
        spec: What to do; already `pinned`.
        home: Where to do it.
        progress: Where to report.
        fresh: Do it again even if it is done.
        since: Leave a run alone that has failed since, in nanoseconds of its record's date.

    Raises:
        RequestError: If the spec asks for another number of processes.
        BenchError: If the run fails; its record then says why.
    """
    distributed.check_count(spec.train)
    if not distributed.is_first():
        return _help(spec, home)
    folder = home.run(spec.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / ".lock", progress):
        if fresh:
            empty_run(folder)
        record = read_record(home, spec.run_id)
        if record is not None and (record.status == "done" or _is_newer(folder, since)):
            return distributed.share(record)
        distributed.share(None)
        write_atomic(folder / "spec.json", msgspec.json.format(msgspec.json.encode(spec)))
        with heartbeat(home, spec.run_id, progress):
            record = _carried_out(spec, home, progress)
        return distributed.share(record)


def _is_newer(folder: Path, since: int | None) -> bool:
    return since is not None and (folder / "record.json").stat().st_mtime_ns >= since


def _carried_out(spec: RunSpec, home: Home, progress: Progress) -> RunRecord:
    """Carry out a run and write its record, whatever comes of it."""
    started = now()
    try:
        record = _Run(spec, home, progress).carry_out(started)
    except Exception as error:
        write_record(home, failed_record(spec, started, error))
        raise
    write_record(home, record)
    return record


def _help(spec: RunSpec, home: Home) -> RunRecord:
    """Do a part of the first process's training; return the record that it makes."""
    done: RunRecord | None = distributed.receive()
    if done is not None:
        return done
    _Run(spec, home, Progress(quiet=True)).help()
    record: RunRecord = distributed.receive()
    return record


class _Run:
    """The steps of one run, each timed."""

    def __init__(self, spec: RunSpec, home: Home, progress: Progress) -> None:
        self.spec = spec
        self.home = home
        self.progress = progress
        self.folder = home.run(spec.run_id)
        self.task: Task = find_task(spec.task)
        self.timings: dict[str, float] = {}
        self._best_score = -math.inf
        self._best: dict[int, ModelFeatures] = {}

    def carry_out(self, started: str) -> RunRecord:
        """Do everything, in order; the test split is scored last."""
        spec = self.spec
        with self._timed("source"), making(spec, self.home):
            images = collect_images(spec, self.home, self.progress)
            rows = self._rows(images)
        distributed.share(images.folder)
        weights = self.home.find_weights(spec.model)
        with threads.suited(weights):
            with self._timed("load"):
                clip = loaded.clip_of(str(weights))
            with self._timed("adapt"):
                adapted = self._adapt(clip, rows)
            with self._timed("evaluate"):
                verdicts = self._evaluate(clip, adapted)
            self._write_predictions(verdicts)
            return self._record(started, images, rows, clip, adapted, verdicts)

    def help(self) -> None:
        """Train beside the first process, on the images that it collected."""
        images = ImageSet.open(distributed.receive(), self.home.data)
        clip = loaded.clip_of(str(self.home.find_weights(self.spec.model)))
        self._adapt(clip, self._rows(images))

    def _rows(self, images: ImageSet) -> pl.DataFrame:
        spec = self.spec
        return images.select(spec.n, spec.seed, spec.order) if spec.n != 0 else images.index()

    def _adapt(self, clip: "Clip", rows: pl.DataFrame) -> "Adapted":
        from adapt.augment import Augment
        from adapt.data import TrainingImages
        from adapt.finetune import finetune
        from adapt.models import Classifier
        from eval.features.features import KEPT_BYTES
        from eval.metrics.intervals import value

        spec, train = self.spec, self.spec.train
        judge = evaluator_of(train.select_by, spec.evaluators[train.select_by])

        def validate(classifier: Classifier, epoch: int) -> float:
            view = self._view(clip, classifier, epoch)
            score = value(judge.validate(view), self.task)
            if score > self._best_score:
                self._best_score = score
                self._best = {epoch: view} if view.nbytes <= KEPT_BYTES else {}
            return score

        images = None
        if rows.height:
            augment = Augment.of(clip.preprocess_train)
            images = TrainingImages(self.home.data, rows, augment, spec.seed)
        return finetune(
            Classifier.from_clip(clip, self.task, train.head_init, spec.seed),
            images,
            objectives.get(spec.objective)(),
            train,
            folder=self.folder / "checkpoints",
            validate=validate,
            progress=self.progress,
        )

    def _evaluate(self, clip: "Clip", adapted: "Adapted") -> list[tuple[str, str, Evaluation]]:
        """Judge the chosen epoch: by every evaluator on val before the first one opens test."""
        epoch = adapted.chosen.epoch
        # The classifier, which is trained in place, is again as it was when this view was made.
        view = self._best.get(epoch) or self._view(clip, adapted.classifier, epoch)
        judges = {name: evaluator_of(name, it) for name, it in self.spec.evaluators.items()}
        verdicts = [(name, "val", judge.validate(view)) for name, judge in judges.items()]
        verdicts += [(name, "test", judge.test(view)) for name, judge in judges.items()]
        return [
            (part, split, own)
            for name, split, verdict in verdicts
            for part, own in verdict.scored(name).items()
        ]

    def _view(self, clip: "Clip", classifier: "Classifier", epoch: int) -> "ModelFeatures":
        from eval.features.features import ModelFeatures

        # Only the unadapted model comes back: it is every run's epoch 0.
        cache = self.home.data / "features" if epoch == 0 else None
        model = str(self.home.find_weights(self.spec.model))
        return ModelFeatures(
            classifier,
            self._task_images(),
            lambda: loaded.text_head_of(self.spec.task, model),
            cache=cache,
            model_hash=clip.model_hash,
        )

    def _task_images(self) -> "TaskImages":
        model = str(self.home.find_weights(self.spec.model))
        return loaded.task_images_of(self.spec.task, self.home, model)

    def _write_predictions(self, found: list[tuple[str, str, Evaluation]]) -> None:
        images = self._task_images()
        tables = []
        for name, split, verdict in found:
            if split != "test":
                continue
            draws = np.atleast_2d(verdict.predicted)
            keys = list(images.split(verdict.split or split).keys)
            tables.append(
                pl.DataFrame(
                    {
                        "evaluator": [name] * draws.size,
                        "split": [split] * draws.size,
                        "key": keys * len(draws),
                        "label": np.tile(verdict.labels, len(draws)),
                        "predicted": draws.ravel(),
                    }
                )
            )
        path = self.folder / "predictions.parquet"
        temporary = temporary_name(path)
        pl.concat(tables).write_parquet(temporary)
        temporary.replace(path)

    def _record(
        self,
        started: str,
        images: ImageSet,
        rows: pl.DataFrame,
        clip: "Clip",
        adapted: "Adapted",
        verdicts: list[tuple[str, str, Evaluation]],
    ) -> RunRecord:
        from eval.metrics.intervals import scores

        yields = dict(images.manifest.yields)
        fidelity = yields.pop("fidelity", {})
        return RunRecord(
            run_id=self.spec.run_id,
            status="done",
            spec=self.spec,
            n=Counts(
                asked=self.spec.n,
                matched=yields.get("matched", 0),
                fetched=yields.get("fetched", 0),
                kept=yields.get("kept", 0),
                used=rows.height,
            ),
            image_set=images.manifest.content,
            scores=[score for verdict in verdicts for score in scores(*verdict)],
            yields=yields,
            selection=_selection(self.spec, self.task, adapted),
            timings={**self.timings, **adapted.timings},
            images_per_second=adapted.images_per_second,
            peak_memory_mb=round(provenance.peak_memory_mb(), 1),
            processes=distributed.count(),
            device=provenance.device(),
            weights=clip.weights_hash,
            details={
                name: verdict.details
                for name, split, verdict in verdicts
                if split == "test" and verdict.details
            },
            fidelity=fidelity,
            versions=provenance.versions(),
            git=provenance.git(),
            started=started,
            finished=now(),
        )

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        self.progress.begin(step)
        start = time.monotonic()
        yield
        self.timings[step] = round(time.monotonic() - start, 3)


def _selection(spec: RunSpec, task: Task, adapted: "Adapted") -> Json:
    return {
        "split": "val",
        "by": spec.train.select_by,
        "metric": task.metric,
        "epoch": adapted.chosen.epoch,
        "history": [msgspec.to_builtins(epoch) for epoch in adapted.history],
    }
