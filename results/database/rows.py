"""Runs' records as columns for the database's tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import polars as pl

from bench.core.json_values import Json, canonical_json, digest
from bench.core.records import RunRecord
from bench.core.specs import RunSpec
from results.experiment import Experiment
from results.fidelity import recorded
from results.labels import variant
from results.settings import source_seeds

_Columns = dict[str, list[Any]]

_ID_DIGITS = 16
"""64 bits: of a million ids, two are equal with a chance of 3e-8."""


def frames(records: Sequence[RunRecord]) -> dict[str, pl.DataFrame]:
    """Return the rows of each table that records fill, by the table's name.

    What many runs share is a row of its own, known by its hash: the spec but for n and seed
    (``specs``), and how many images each stage left (``counts``).
    """
    spec_ids = [_spec_id(record) for record in records]
    counts_ids = [digest(record.stage_counts, _ID_DIGITS) for record in records]
    ids = {"spec_id": spec_ids, "counts_id": counts_ids}
    columns = {
        "runs": {**ids, **_of_images(records), **_of_outcomes(records)},
        "specs": _specs(dict(zip(spec_ids, records, strict=True))),
        "scores": _scores(records),
        "counts": _counts(
            {key: record.stage_counts for key, record in zip(counts_ids, records, strict=True)}
        ),
    }
    return {name: pl.DataFrame(some) for name, some in columns.items()}


def _spec_id(record: RunRecord) -> str:
    return digest([_shared(record.spec), sorted(record.scored_by)], _ID_DIGITS)


def _shared(spec: RunSpec) -> RunSpec:
    """Return a spec as runs of several n and seeds share it."""
    return msgspec.structs.replace(spec, n=None, seed=0)


def _specs(records: dict[str, RunRecord]) -> _Columns:
    """Return what runs share that differ in n and seed, given one of each."""
    specs = [_shared(record.spec) for record in records.values()]
    by = [spec.train.select_by for spec in specs]
    prints = [[spec.fingerprints.get(name, "") for name in ("task", "model")] for spec in specs]
    return {
        "spec_id": list(records),
        "spec": [_json(spec) for spec in specs],
        "scored_by": [sorted(record.scored_by) for record in records.values()],
        "preset": [spec.preset for spec in specs],
        "source": [spec.source for spec in specs],
        "options": [_json(spec.options) for spec in specs],
        "source_seeds": [_canonical(source_seeds(spec)) for spec in specs],
        "select_by": by,
        "selector": [
            _canonical({name: spec.evaluators.get(name, {})})
            for name, spec in zip(by, specs, strict=True)
        ],
        "image_order": [spec.order for spec in specs],
        "variant": [_canonical(variant(spec)) for spec in specs],
        "model": [Experiment.of(spec).model for spec in specs],
        "init": [spec.train.init for spec in specs],
        "fingerprints": [" ".join(filter(None, two)) for two in prints],
        "objective_options": [_canonical(spec.objective_options) for spec in specs],
        "lr": [spec.train.lr for spec in specs],
        "epochs": [spec.train.epochs for spec in specs],
        "batch_size": [spec.train.batch_size for spec in specs],
        "train": [_json(spec.train) for spec in specs],
        "evaluators": [_json(spec.evaluators) for spec in specs],
    }


def _of_images(records: Sequence[RunRecord]) -> _Columns:
    counts = [record.n for record in records]
    return {
        "n_asked": [record.spec.n for record in records],
        "seed": [record.spec.seed for record in records],
        "n_matched": [each.matched for each in counts],
        "n_fetched": [each.fetched for each in counts],
        "n_kept": [each.kept for each in counts],
        "n_used": [each.used for each in counts],
        "n_captions": [each.captions for each in counts],
        "positives": [record.positives for record in records],
        "image_set": [record.image_set for record in records],
        "empty_classes": [_json(record.empty_classes) for record in records],
    }


def _of_outcomes(records: Sequence[RunRecord]) -> _Columns:
    selections = [record.selection for record in records]
    epochs = ("epoch", "trained_epoch", "last_epoch")
    plain = ("run_id", "status", "error", "too_few_images", "images_per_second", "peak_memory_mb")
    texts = ("device", "weights", "started", "finished")
    return {
        **{name: [getattr(record, name) for record in records] for name in (*plain, *texts)},
        **{name: [_number(each.get(name)) for each in selections] for name in epochs},
        "selected_in": [str(each.get("metric") or "accuracy") for each in selections],
        "selection": [_json(each) for each in selections],
        "fidelity": [_json(recorded(record)) for record in records],
        "timings": [_json(record.timings) for record in records],
        "git_commit": [str(record.git.get("commit", "")) for record in records],
        "git_dirty": [_flag(record.git.get("dirty")) for record in records],
        "versions": [_json(record.versions) for record in records],
    }


def _scores(records: Sequence[RunRecord]) -> _Columns:
    pairs = [
        (record, score)
        for record in records
        for score in (*record.scores, *record.scores_of_classes)
    ]
    scores = [score for _, score in pairs]
    of = ("evaluator", "split", "at_epoch", "classes", "metric")
    plain = (*of, "value", "n", "ci_low", "ci_high")
    return {
        "run_id": [record.run_id for record, _ in pairs],
        **{name: [getattr(score, name) for score in scores] for name in plain},
        "chosen": [_json(score.chosen) for score in scores],
        "trials": [_json(score.trials) for score in scores],
    }


def _counts(counts: dict[str, Json]) -> _Columns:
    """Return a row per number in the stage counts; deeper levels become dotted counters."""
    rows = [
        (counts_id, stage, counter, float(value))
        for counts_id, stages in counts.items()
        for stage, content in stages.items()
        for counter, value in _numbers("", content)
    ]
    names = ("counts_id", "stage", "counter", "value")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}


def _numbers(name: str, content: Any) -> Iterator[tuple[str, float]]:  # noqa: ANN401 (any JSON)
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _numbers(f"{name}.{key}" if name else key, value)
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield name, content


def _number(value: object) -> float | None:
    """Return a number of a record's free part; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _flag(value: object) -> bool | None:
    return None if value is None else bool(value)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _canonical(value: object) -> str:
    return canonical_json(value).decode()


def parse_json(text: object) -> Json:
    """Return a JSON column's object; empty where the database has none."""
    return dict(msgspec.json.decode(text)) if isinstance(text, str) else {}
