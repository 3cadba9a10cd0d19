"""Check that all a run needs exists, and fingerprint it."""

from collections.abc import Sequence

import msgspec

from bench.core.files import fingerprint
from bench.core.memo import memo_scope
from bench.core.paths import Home
from bench.core.specs import RunSpec
from bench.core.task import Task
from bench.plugins import evaluator_of, objectives, source_of
from bench.plugins.optional import ChecksTask
from bench.steps import loaded
from bench.tasks import find_task


def with_fingerprints(spec: RunSpec, home: Home) -> RunSpec:
    """Return a spec with the fingerprints of everything outside that its result depends on.

    Raises:
        RequestError: If anything the run needs is absent, with the remedy; no work was done.
    """
    task = find_task(spec.task)
    objectives.check(spec.objective)
    for name, options in spec.evaluators.items():
        _check_task(evaluator_of(name, options), task)
    _check_precision(spec)
    source = source_of(spec.source, spec.options)
    _check_task(source, task)
    source_fingerprints = source.fingerprints(home)
    model = fingerprint(home.find_weights(spec.model))
    task.check(home)
    fingerprints = {"task": task.fingerprint, "model": model, **source_fingerprints}
    return msgspec.structs.replace(spec, fingerprints=fingerprints)


def all_with_fingerprints(specs: Sequence[RunSpec], home: Home) -> list[RunSpec]:
    """Return every spec with its fingerprints; what specs share is fingerprinted once.

    Raises:
        RequestError: If anything that a run needs is absent, with the remedy; no work was done.
    """
    fingerprints: dict[bytes, dict[str, str]] = {}
    prepared = []
    with memo_scope():
        for spec in specs:
            # Everything that the checks and fingerprints depend on: not n, seed or most of train.
            needs = (spec.task, spec.source, spec.options, spec.model, spec.objective)
            key = msgspec.json.encode((*needs, spec.evaluators, spec.train.precision))
            if key not in fingerprints:
                fingerprints[key] = with_fingerprints(spec, home).fingerprints
            prepared.append(msgspec.structs.replace(spec, fingerprints=fingerprints[key]))
    return prepared


def _check_task(plugin: object, task: Task) -> None:
    if isinstance(plugin, ChecksTask):
        plugin.check(task)


def _check_precision(spec: RunSpec) -> None:
    """Make sure that this machine supports the precision; every machine supports fp32."""
    if spec.train.precision == "fp32":
        return
    import torch

    from adapt.train_step import check_precision

    check_precision(spec.train.precision, torch.device(loaded.device()))
