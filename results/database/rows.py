"""A run's record as flat rows for the database's tables."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bench.core.json_values import Json, canonical_json
from bench.core.records import RunRecord
from bench.core.specs import RunSpec
from results.experiment import Experiment
from results.fidelity import recorded
from results.labels import ScoredAs, scored_as, variant
from results.settings import source_seeds

Row = dict[str, Any]


def run_row(record: RunRecord, label: str, objective: str, setting: Json) -> Row:
    """Return the one row that describes a run; what has no column of its own stays JSON.

    Args:
        record: The run's record.
        label: What `results.labels.labels` calls its line.
        objective: What `results.labels.objective_labels` calls its objective.
        setting: What `results.settings.settings` returns for it.
    """
    named = {
        "label": label,
        "objective": objective,
        "setting": canonical_json(setting).decode(),
    }
    return {**named, **_spec_row(record.spec), **_outcome_row(record)}


def _spec_row(spec: RunSpec) -> Row:
    by = spec.train.select_by
    return {
        "preset": spec.preset,
        "task": spec.task,
        "source": spec.source,
        "options": _json(spec.options),
        "n_asked": spec.n,
        "seed": spec.seed,
        "source_seeds": canonical_json(source_seeds(spec)).decode(),
        "select_by": by,
        "selector": canonical_json({by: spec.evaluators.get(by, {})}).decode(),
        "image_order": spec.order,
        "variant": canonical_json(variant(spec)).decode(),
        "model": Experiment.of(spec).model,
        "init": spec.train.init,
        "fingerprints": " ".join(
            spec.fingerprints[name] for name in ("task", "model") if name in spec.fingerprints
        ),
        "objective_options": canonical_json(spec.objective_options).decode(),
        "lr": spec.train.lr,
        "epochs": spec.train.epochs,
        "batch_size": spec.train.batch_size,
        "train": _json(spec.train),
        "evaluators": _json(spec.evaluators),
    }


def _outcome_row(record: RunRecord) -> Row:
    dirty = record.git.get("dirty")
    return {
        "run_id": record.run_id,
        "status": record.status,
        "error": record.error,
        "too_few_images": record.too_few_images,
        "n_matched": record.n.matched,
        "n_fetched": record.n.fetched,
        "n_kept": record.n.kept,
        "n_used": record.n.used,
        "image_set": record.image_set,
        "empty_classes": _json(record.empty_classes),
        "selection": _json(record.selection),
        "fidelity": _json(recorded(record)),
        "timings": _json(record.timings),
        "images_per_second": record.images_per_second,
        "peak_memory_mb": record.peak_memory_mb,
        "device": record.device,
        "weights": record.weights,
        "git_commit": str(record.git.get("commit", "")),
        "git_dirty": None if dirty is None else bool(dirty),
        "versions": _json(record.versions),
        "started": record.started,
        "finished": record.finished,
    }


def score_rows(record: RunRecord, by_evaluator: Mapping[ScoredAs, str]) -> Iterator[Row]:
    """Yield one row per score.

    Args:
        record: The run's record.
        by_evaluator: What `results.labels.evaluator_labels` calls its evaluators.
    """
    selecting = scored_as(record, record.spec.train.select_by)
    for score in record.scores:
        row = msgspec.structs.asdict(score)
        yield {
            "run_id": record.run_id,
            **row,
            "evaluator": by_evaluator.get((record.run_id, score.evaluator), score.evaluator),
            "chosen": _json(score.chosen),
            "trials": _json(score.trials),
            "selects": score.evaluator in selecting,
        }


def stage_count_rows(record: RunRecord) -> Iterator[Row]:
    """Yield one row per number in the stage counts; deeper levels become dotted counters."""
    for stage, content in record.stage_counts.items():
        for counter, value in _numbers("", content):
            yield {
                "run_id": record.run_id,
                "stage": stage,
                "counter": counter,
                "value": float(value),
            }


def _numbers(name: str, content: Any) -> Iterator[tuple[str, float]]:  # noqa: ANN401 (any JSON)
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _numbers(f"{name}.{key}" if name else key, value)
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield name, content


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def parse_json(text: object) -> Json:
    """Return a JSON column's object; empty where the database has none."""
    return dict(msgspec.json.decode(text)) if isinstance(text, str) else {}
