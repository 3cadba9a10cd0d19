"""Before a run: is everything there that it needs, and what exactly is it?"""

from collections.abc import Sequence

import msgspec

from bench import loaded
from bench.core.files import fingerprint
from bench.core.memo import memo_scope
from bench.core.paths import Home
from bench.core.specs import RunSpec
from bench.core.task import Task
from bench.plugins import evaluator_of, objectives, source_of
from bench.plugins.optional import ChecksTask
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
    outside = source.fingerprints(home)
    model = fingerprint(home.find_weights(spec.model))
    task.check(home)
    found = {"task": task.fingerprint, "model": model, **outside}
    return msgspec.structs.replace(spec, fingerprints=found)


def all_with_fingerprints(specs: Sequence[RunSpec], home: Home) -> list[RunSpec]:
    """Return every spec with its fingerprints; what they share outside is looked at once.

    Raises:
        RequestError: If anything that a run needs is absent, with the remedy; no work was done.
    """
    fingerprints: dict[bytes, dict[str, str]] = {}
    found = []
    with memo_scope():
        for spec in specs:
            # All that they depend on; n, seed and the rest of the training do not matter.
            needs = (spec.task, spec.source, spec.options, spec.model, spec.objective)
            key = msgspec.json.encode((*needs, spec.evaluators, spec.train.precision))
            if key not in fingerprints:
                fingerprints[key] = with_fingerprints(spec, home).fingerprints
            found.append(msgspec.structs.replace(spec, fingerprints=fingerprints[key]))
    return found


def _check_task(plugin: object, task: Task) -> None:
    if isinstance(plugin, ChecksTask):
        plugin.check(task)


def _check_precision(spec: RunSpec) -> None:
    """Make sure that this machine trains in the precision asked for; any does in fp32."""
    if spec.train.precision == "fp32":
        return
    import torch

    from adapt.train_step import check_precision

    check_precision(spec.train.precision, torch.device(loaded.device()))
