"""Settings: what validation data may choose between within an arm, and what is a replicate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from bench.core.json_values import Json, canonical_json
from bench.core.specs import EXECUTION_FIELDS, RunSpec
from bench.planning.differences import differing, leaves
from results.experiment import Experiment
from results.labels import CAPTIONS, UNADAPTED, VARIANT_OPTIONS, VARIANT_TRAIN, Run, variant

SOURCE_SEED = "seed"
"""The option of a source that makes another sample of captions and images."""

CAPACITY = (
    "size",
    "allow_incomplete",
    "captions.block_size",
    "captions.shard_size",
    *(f"download.{name}" for name in ("shard_size", "processes", "threads", "timeout_s")),
    *(f"download.{name}" for name in ("deadline_s", "retries", "preflight", "allow_private")),
    *(f"generation.{name}" for name in ("batch_size", "shard_size", "attention")),
    *(f"generation.{name}" for name in ("channels_last", "compile")),
)
"""Options of sources that say how many images there are and how they are made, not which kind."""

_TRAIN_FIELDS = (*EXECUTION_FIELDS, *VARIANT_TRAIN, "select_by")


def settings(records: Iterable[Run]) -> dict[str, Json]:
    """Return each run's setting: what is tuned, as far as it differs within the run's arm.

    Tuned is everything of `train` and of the source's options but the source's seeds, what makes
    an arm of its own (`results.labels.variant`, the evaluator that selects), and how a run is
    executed (`EXECUTION_FIELDS`, `CAPACITY`). The unadapted model has no settings.

    Returns:
        Run id to setting; names are those of ``--set``.
    """
    arms: dict[tuple[object, ...], list[Run]] = defaultdict(list)
    for record in records:
        spec = record.spec
        prints = tuple(spec.fingerprints.get(name) for name in ("task", "model"))
        images = (spec.source, canonical_json(variant(spec)), spec.train.select_by)
        options = canonical_json(spec.objective_options)
        arms[Experiment.of(spec), options, prints, *images].append(record)
    by_run: dict[str, Json] = {}
    for arm in arms.values():
        tuned = {record.run_id: _tuned(record.spec) for record in arm}
        names = differing(list(tuned.values()))
        for run_id, values in tuned.items():
            by_run[run_id] = {name: values[name] for name in names if name in values}
    return by_run


def source_seeds(spec: RunSpec) -> Json:
    """Return the seeds of a run's source and of its parts; with the run's, they are a replicate."""
    return {name: value for name, own, value in _options(spec.options) if own == SOURCE_SEED}


def _tuned(spec: RunSpec) -> Json:
    if spec.source == UNADAPTED:
        return {}
    train = msgspec.to_builtins(spec.train)
    return {
        **{f"train.{name}": value for name, value in train.items() if name not in _TRAIN_FIELDS},
        **{name: value for name, own, value in _options(spec.options) if _is_tuned(own)},
    }


def _is_tuned(name: str) -> bool:
    image_option = any(name == one or name.startswith(f"{one}.") for one in VARIANT_OPTIONS)
    return not image_option and name not in (SOURCE_SEED, CAPTIONS, *CAPACITY)


def _options(options: Json, within: str = "source") -> Iterator[tuple[str, str, object]]:
    """Yield each option: its full name, its name within its source or part, and its value."""
    parts = options.get("options")
    parts = parts if isinstance(parts, dict) else {}
    inner = {name: part for name, part in parts.items() if isinstance(part, dict)}
    for name, part in inner.items():
        yield from _options(part, f"{within}.options.{name}")
    for name, value in leaves(options):
        if not any(name.startswith(f"options.{part}.") for part in inner):
            yield f"{within}.{name}", name, value
