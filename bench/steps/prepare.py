"""Check that all a run needs exists, and fingerprint it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.core.errors import RequestError
from bench.core.files import fingerprint
from bench.core.memo import memo_scope
from bench.core.missing import Absences, Fetchable, MissingError, together
from bench.core.paths import Home
from bench.core.specs import RunSpec
from bench.core.task import Task
from bench.core.weights_folder import checked_config, is_architecture, is_image_only
from bench.plugins import evaluator_of, needs_of, source_of
from bench.plugins.objective import OTHERS_REMEDY
from bench.plugins.optional import (
    ChecksTask,
    HasCaptions,
    HasData,
    HasNotes,
    HasOthers,
    HasPairs,
    NeedsHead,
    OffersCaptions,
    TakesPatches,
)
from bench.plugins.source import Source
from bench.runtime import distributed
from bench.steps import loaded
from bench.steps.located import located
from bench.tasks import find_task


def with_fingerprints(spec: RunSpec, home: Home, *, trains: bool = True) -> RunSpec:
    """Return a located spec with the fingerprints of all outside that its result depends on.

    Args:
        spec: The run.
        home: Where data and weights are.
        trains: Whether its images are trained on; without, only they need be right.

    Raises:
        MissingError: If anything the run needs is absent, with the remedies; no work was done.
        RequestError: If the run is wrong as requested.
    """
    spec = located(spec, home)
    task = find_task(spec.task)
    source = source_of(spec.source, spec.options)
    if trains:
        _check_training(spec)
    for name, options in spec.evaluators.items():
        _check_task(evaluator_of(name, options), task)
    _check_task(source, task)
    if trains:
        _check_images(spec, source, task)
    parts: dict[str, Callable[[], dict[str, str]]] = {
        "task": lambda: _of_task(task, home),
        "model": lambda: {"model": _of_model(spec, home)},
        "source": lambda: source.fingerprints(home),
        "evaluators": lambda: _of_evaluators(spec, home),
    }
    fingerprints: dict[str, str] = {}
    for found in together(parts).values():
        fingerprints |= found
    for name, options in spec.evaluators.items():
        # Some of the task's shifted splits may not be here.
        _check_task(evaluator_of(name, options), task.at(home))
    return msgspec.structs.replace(spec, fingerprints=fingerprints)


def _check_training(spec: RunSpec) -> None:
    """Make sure that the run can train as it says, whatever its images are."""
    _check_head(spec)
    _check_frozen(spec)
    _check_scratch(spec)
    _check_batches(spec)
    _check_precision(spec)


def _check_images(spec: RunSpec, source: Source, task: Task) -> None:
    """Make sure that the source's images will do for the training, as far as can be told before."""
    _check_captions(spec, source)
    _check_pairs(spec, source)
    _check_classes(spec, source, task)


def _of_task(task: Task, home: Home) -> dict[str, str]:
    try:
        task.check(home)
    except MissingError as error:
        raise MissingError(error.what, error.fix, Fetchable("task", task.name)) from error
    return {"task": task.at(home).fingerprint}


def _of_model(spec: RunSpec, home: Home) -> str:
    """Return the fingerprint of a run's model.

    Raises:
        RequestError: If it is an architecture without weights, and training does not start from
            scratch; if it is an image encoder, and the run or its objective needs texts; if the
            objective masks patches or has smaller views, or an evaluator looks at patches, and it
            has none; if paths are to be dropped and it has no residual blocks; or if it cannot be
            loaded, as can be told from its files.
    """
    folder = home.find_weights(spec.model)
    if spec.train.init != "scratch" and is_architecture(folder):
        raise RequestError(
            f"the model {spec.model} is an architecture without weights, which is trained from "
            "scratch",
            "add --set train.init=scratch, or name a model that has weights",
        )
    needed = {f"evaluators.{name}": "null" for name in OF_TEXTS if name in spec.evaluators}
    if spec.train.head_init == "text":
        needed["train.head_init"] = "random"
    if needed and is_image_only(folder):
        raise RequestError(
            f"the model {spec.model} has no text tower, which {' and '.join(needed)} needs",
            "add " + _settings(needed),
        )
    needs = needs_of(spec)
    if needs.texts and is_image_only(folder):
        raise RequestError(
            f"the model {spec.model} has no text tower, which the objective {spec.objective} needs",
            "take a CLIP, or another objective",
        )
    checked_config(folder)
    if needs.masks is not None or any(view.size != 1 for view in needs.views):
        from adapt.patches import Patches

        Patches(loaded.clip_of(str(folder)).model.visual).check(needs)
    if spec.train.drop_path and spec.n != 0:
        from adapt.layers.drop_path import residual_blocks

        residual_blocks(loaded.clip_of(str(folder)).model.visual)
    _check_patches(spec, folder)
    return fingerprint(folder)


def _of_evaluators(spec: RunSpec, home: Home) -> dict[str, str]:
    """Return the fingerprints of what evaluators have besides the task's data."""
    found: dict[str, str] = {}
    for name, options in spec.evaluators.items():
        plugin = evaluator_of(name, options)
        found |= plugin.fingerprints(home) if isinstance(plugin, HasData) else {}
    return found


def _check_patches(spec: RunSpec, folder: Path) -> None:
    """Make sure that the model has patches for evaluators that look at them, in images so large."""
    for name, options in spec.evaluators.items():
        plugin = evaluator_of(name, options)
        if not isinstance(plugin, TakesPatches):
            continue
        from adapt.patches import Patches

        try:
            patches = Patches(loaded.clip_of(str(folder)).model.visual)
            if plugin.image_size is not None:
                patches.check_size(plugin.image_size)
        except RequestError as error:
            raise RequestError(
                f"the evaluator {name} looks at patches: {error.what}",
                f"{error.fix}; or leave it out: {_settings({f'evaluators.{name}': 'null'})}",
            ) from error


_TEXT_HEAD = "zero-shot-text"
OF_TEXTS = ("zero-shot", _TEXT_HEAD)
"""Evaluators of what a model knows of class names."""


def _check_head(spec: RunSpec) -> None:
    """Make sure that no evaluator judges a head that the objective leaves as it was.

    The unadapted model may be judged by its head, whatever the objective.
    """
    if spec.n == 0 or needs_of(spec).head:
        return
    plugins = {name: evaluator_of(name, options) for name, options in spec.evaluators.items()}
    judging = [n for n, one in plugins.items() if isinstance(one, NeedsHead) and one.needs_head]
    if not judging:
        return
    changed = dict.fromkeys((f"evaluators.{name}" for name in judging), "null")
    if spec.train.select_by in judging:
        others = [name for name in spec.evaluators if name not in judging]
        changed |= {} if others else {"evaluators.linear-probe": "{}"}
        changed["train.select_by"] = others[0] if others else "linear-probe"
    raise RequestError(
        f"the objective {spec.objective} does not train the classifier's head, which "
        f"{' and '.join(judging)} would judge",
        "add " + _settings(changed),
    )


def _check_frozen(spec: RunSpec) -> None:
    """Make sure that an objective which trains no head of the classifier may train the tower."""
    if spec.train.freeze_tower and spec.n != 0 and not needs_of(spec).head:
        raise RequestError(
            f"train.freeze_tower=true leaves nothing that the objective {spec.objective} trains "
            "and evaluators see",
            "leave it out",
        )


def _check_captions(spec: RunSpec, source: Source) -> None:
    """Make sure that an objective of captions has some, where the source says whether it has."""
    needs = needs_of(spec)
    needed = spec.n != 0 and (needs.texts or needs.group == "caption")
    if needed and isinstance(source, HasCaptions) and not source.captioned:
        ask = f"add --set {source.captioned_by}, " if isinstance(source, OffersCaptions) else ""
        raise RequestError(
            f"the images of source {spec.source} have no captions, which the objective "
            f"{spec.objective} needs",
            f"{ask}use retrieved or generated images, or --objective supcon",
        )


def _check_pairs(spec: RunSpec, source: Source) -> None:
    """Make sure that adjacent captions come in pairs, where the source says whether they do."""
    needed = spec.n != 0 and spec.train.adjacent == "pair"
    if needed and isinstance(source, HasPairs) and not source.paired:
        raise RequestError(
            f"train.adjacent=pair: the captions of source {spec.source} come in no pairs as it is "
            "set",
            "take --source synthetic --set source.captions.writer=minimal-pairs, or leave it out",
        )


def _check_classes(spec: RunSpec, source: Source, task: Task) -> None:
    """Make sure that an objective of classes has them, where the source says whether it has."""
    needed = spec.n != 0 and needs_of(spec).labels
    if needed and isinstance(source, HasOthers) and source.others(task):
        raise RequestError(
            f"images of source {spec.source} may be of no class of task {task.name}, and the "
            f"objective {spec.objective} needs a class for each",
            OTHERS_REMEDY,
        )


def _check_scratch(spec: RunSpec) -> None:
    """Make sure that an untrained network is not judged by the fetched model's texts."""
    if spec.train.init == "scratch" and _TEXT_HEAD in spec.evaluators:
        raise RequestError(
            f"the evaluator {_TEXT_HEAD} takes the fetched model's text tower, which an image "
            "tower from scratch has not learnt",
            "add " + _settings({f"evaluators.{_TEXT_HEAD}": "null"}),
        )


def _check_batches(spec: RunSpec) -> None:
    """Make sure that batches are as the objective needs them, as far as can be told before work."""
    if spec.n == 0:
        return
    from adapt.batches.order import check_batches

    train, needs = spec.train, needs_of(spec)
    # A pass takes no more images than there are.
    check_batches(train, needs, max(train.processes, distributed.count()), spec.n)
    if needs.batch_norm and train.micro_batch is not None:
        raise RequestError(
            f"train.micro_batch={train.micro_batch}: batch norm needs whole batches",
            "leave it out, or add --set objective.norm=ln",
        )


def _settings(values: dict[str, str]) -> str:
    return " ".join(f"--set {name}={value}" for name, value in values.items())


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
            _check_batches(spec)
            # Everything that other checks and fingerprints depend on: not n, seed or most of train.
            needs = (spec.preset, spec.task, spec.source, spec.options, spec.n == 0, spec.model)
            objective, train = (spec.objective, spec.objective_options), spec.train
            start = (train.init, train.head_init, train.freeze_tower)
            checked = (train.precision, train.select_by, train.adjacent, train.drop_path > 0)
            key = msgspec.json.encode((*needs, *objective, spec.evaluators, start, checked))
            if key not in known:
                known[key] = _found(spec, home)
            like, absences = known[key]
            found = {name: getattr(like, name) for name in _LOCATED}
            runs.append(Prepared(msgspec.structs.replace(spec, **found), absences))
    return runs


_LOCATED = ("preset", "task", "model", "options", "evaluators", "fingerprints")


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
