"""Check that all a run needs exists, and fingerprint it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from bench.core.errors import RequestError
from bench.core.files import fingerprint
from bench.core.memo import memo_scope
from bench.core.missing import Absences, Fetchable, MissingError, together
from bench.core.paths import Home
from bench.core.specs import RunSpec
from bench.core.task import Task
from bench.core.weights_folder import checked_config, is_image_only
from bench.plugins import evaluator_of, objectives, source_of
from bench.plugins.optional import ChecksTask, HasNotes
from bench.steps import loaded
from bench.steps.located import located
from bench.tasks import find_task


def with_fingerprints(spec: RunSpec, home: Home) -> RunSpec:
    """Return a located spec with the fingerprints of all outside that its result depends on.

    Raises:
        MissingError: If anything the run needs is absent, with the remedies; no work was done.
        RequestError: If the run is wrong as requested.
    """
    spec = located(spec, home)
    task = find_task(spec.task)
    objectives.check(spec.objective)
    for name, options in spec.evaluators.items():
        _check_task(evaluator_of(name, options), task)
    _check_precision(spec)
    source = source_of(spec.source, spec.options)
    _check_task(source, task)
    parts: dict[str, Callable[[], dict[str, str]]] = {
        "task": lambda: _of_task(task, home),
        "model": lambda: {"model": _of_model(spec, home)},
        "source": lambda: source.fingerprints(home),
    }
    fingerprints: dict[str, str] = {}
    for found in together(parts).values():
        fingerprints |= found
    for name, options in spec.evaluators.items():
        # Some of the task's shifted splits may not be here.
        _check_task(evaluator_of(name, options), task.at(home))
    return msgspec.structs.replace(spec, fingerprints=fingerprints)


def _of_task(task: Task, home: Home) -> dict[str, str]:
    try:
        task.check(home)
    except MissingError as error:
        raise MissingError(error.what, error.fix, Fetchable("task", task.name)) from error
    return {"task": task.at(home).fingerprint}


def _of_model(spec: RunSpec, home: Home) -> str:
    """Return the fingerprint of a run's model.

    Raises:
        RequestError: If it is an image encoder, and the run needs texts; or if it cannot be
            loaded, as can be told from its files.
    """
    folder = home.find_weights(spec.model)
    needed = {f"evaluators.{name}": "null" for name in OF_TEXTS if name in spec.evaluators}
    if spec.train.head_init == "text":
        needed["train.head_init"] = "random"
    if needed and is_image_only(folder):
        raise RequestError(
            f"the model {spec.model} has no text tower, which {' and '.join(needed)} needs",
            "add " + " ".join(f"--set {name}={value}" for name, value in needed.items()),
        )
    checked_config(folder)
    return fingerprint(folder)


OF_TEXTS = ("zero-shot", "zero-shot-text")
"""Evaluators of what a model knows of class names."""


def notes(specs: Sequence[RunSpec], home: Home) -> list[str]:
    """Return what a user should know of the data of some prepared runs, each line once."""
    with memo_scope():
        tasks = {spec.task: loaded.task_of(spec) for spec in specs}
        needs = {msgspec.json.encode((spec.source, spec.options)): spec for spec in specs}
        lines = [note for task in tasks.values() for note in task.notes()]
        for spec in needs.values():
            source = source_of(spec.source, spec.options)
            lines += source.notes(home) if isinstance(source, HasNotes) else []
    return list(dict.fromkeys(lines))


@dataclass(frozen=True)
class Prepared:
    """A run, with its fingerprints unless something that it needs is absent.

    Attributes:
        spec: The run.
        absences: What is absent.
    """

    spec: RunSpec
    absences: Absences


def prepared(specs: Sequence[RunSpec], home: Home) -> list[Prepared]:
    """Return every run, prepared; what runs share is looked for and fingerprinted once.

    Raises:
        RequestError: If a run is wrong as requested.
    """
    known: dict[bytes, tuple[RunSpec, Absences]] = {}
    runs = []
    with memo_scope():
        for spec in specs:
            # Everything that the checks and fingerprints depend on: not n, seed or most of train.
            needs = (spec.preset, spec.task, spec.source, spec.options, spec.model, spec.objective)
            train = spec.train.precision, spec.train.head_init
            key = msgspec.json.encode((*needs, spec.evaluators, train))
            if key not in known:
                known[key] = _found(spec, home)
            like, absences = known[key]
            found = {name: getattr(like, name) for name in _LOCATED}
            runs.append(Prepared(msgspec.structs.replace(spec, **found), absences))
    return runs


_LOCATED = ("preset", "task", "model", "options", "fingerprints")


def _found(spec: RunSpec, home: Home) -> tuple[RunSpec, Absences]:
    """Return a run with its fingerprints, or what it lacks."""
    try:
        return with_fingerprints(spec, home), {}
    except MissingError as error:
        return located(spec, home), error.absences


def all_with_fingerprints(specs: Sequence[RunSpec], home: Home) -> list[RunSpec]:
    """Return every spec with its fingerprints.

    Raises:
        MissingError: If anything that a run needs is absent, with the remedies; no work was done.
        RequestError: If a run is wrong as requested.
    """
    runs = prepared(specs, home)
    absences: Absences = {}
    for run in runs:
        absences |= run.absences
    if absences:
        raise MissingError.of(absences)
    return [run.spec for run in runs]


def _check_task(plugin: object, task: Task) -> None:
    if isinstance(plugin, ChecksTask):
        plugin.check(task)


def _check_precision(spec: RunSpec) -> None:
    """Make sure that this machine supports the precision; every machine supports fp32."""
    if spec.train.precision == "fp32":
        return
    import torch

    from adapt.precision import check_precision

    check_precision(spec.train.precision, torch.device(loaded.device()))
