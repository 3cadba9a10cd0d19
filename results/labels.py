"""What runs and evaluators are called: their name, and what tells variants of it apart."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from fractions import Fraction
from pathlib import PurePath
from typing import Protocol, TypeGuard

import msgspec

from bench.core.json_values import Json, canonical_json, value_at
from bench.core.specs import RunSpec
from bench.planning.differences import differing, leaves
from results.experiment import Experiment
from results.wording import written

UNADAPTED = "none"
"""The label of the unadapted model."""


class Run(Protocol):
    """What names are made of: a run's record, or what stands for all that differ in n and seed."""

    @property
    def run_id(self) -> str:
        """Its id."""

    @property
    def spec(self) -> RunSpec:
        """Its spec."""

    @property
    def started(self) -> str:
        """When it was started."""

    @property
    def scored_by(self) -> Set[str]:
        """Names that its scores have."""


ScoredAs = tuple[str, str]
"""A run and a name that it has scores under."""

_Shared = tuple[Experiment, bytes]
"""What the runs of one figure share, the objective's options included."""

VARIANT_OPTIONS = (
    *("pool", "path", "parts", "of", "generation.model", "generation.guidance"),
    *("captions.writer", "captions.options.model", "captions.options.path", "captions.phrases"),
    *("captions.kinds", "captions.concepts", "images_per_caption", "fixes"),
)
"""Other images to learn from, not other hyper-parameters: validation data must not choose."""

VARIANT_TRAIN = ("adjacent",)
"""Fields of `TrainSpec` that are asked about, as options of objectives are, and never tuned."""

CAPTIONS = "captions"
"""Of renders, whether they have captions: with captions they are other images."""

_USUAL: Json = {"images_per_caption": 1, "fixes": [], CAPTIONS: False}
"""What was so before it was an option: records without it are of the same arm."""

_SHARES = ("parts", "captions.kinds")
"""Options that say how much there is of what."""

_BY_NAME = (CAPTIONS, "guidance", "phrases", "concepts", "images_per_caption", "fixes", "adjacent")
"""Options, by the last part of their names, whose values alone say nothing."""

# The evaluators of Geng 2024.
_FIRST = ("linear-probe", "zero-shot")


def variant(spec: RunSpec) -> Json:
    """Return what makes a run's images an experiment of their own; nothing for no images."""
    if spec.source == UNADAPTED:
        return {}
    train = msgspec.structs.asdict(spec.train)
    asked = {name: train[name] for name in VARIANT_TRAIN if train.get(name) is not None}
    return {**_image_options(spec.options), "order": spec.order, **asked}


def labels(records: Iterable[Run]) -> dict[str, str]:
    """Return each run's label: its source, and what tells variants apart where there are several.

    An arm has one name under all objectives. Where the runs of an experiment were selected by
    several evaluators, the label says by which: one curve never shows models of two selections.

    Returns:
        Run id to label.
    """
    groups: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    selectors: dict[_Shared, set[str]] = defaultdict(set)
    for record in records:
        spec = record.spec
        preset, task, model, _ = Experiment.of(spec)
        groups[preset, task, model, spec.source].append(record)
        if spec.source != UNADAPTED:
            selectors[_shared(spec)].add(spec.train.select_by)
    by_run: dict[str, str] = {}
    for (*_, source), group in groups.items():
        variants = {record.run_id: variant(record.spec) for record in group}
        texts = _texts({canonical_json(one): one for one in variants.values()})
        for record in group:
            words = [source, texts[canonical_json(variants[record.run_id])]]
            if source != UNADAPTED and len(selectors[_shared(record.spec)]) > 1:
                words.append(f"select_by={record.spec.train.select_by}")
            by_run[record.run_id] = " ".join(filter(None, words))
    return by_run


def _shared(spec: RunSpec) -> _Shared:
    return Experiment.of(spec), canonical_json(spec.objective_options)


def objective_labels(records: Iterable[Run]) -> dict[str, str]:
    """Return each run's objective: its name, and the options in which runs of it differ.

    Options of an objective make experiments of their own: validation data never chooses between
    them, as it would between learning rates. The unadapted model had no objective.

    Returns:
        Run id to label, such as ``simclr temperature=0.2``.
    """
    groups: dict[Experiment, list[Run]] = defaultdict(list)
    for record in records:
        groups[Experiment.of(record.spec)].append(record)
    by_run: dict[str, str] = {}
    for experiment, group in groups.items():
        options = {
            run.run_id: dict(leaves(run.spec.objective_options))
            for run in group
            if run.spec.source != UNADAPTED
        }
        names = differing(list(options.values()))
        for run in group:
            own = options.get(run.run_id, {})
            words = [f"{name}={written(own[name])}" for name in names if name in own]
            by_run[run.run_id] = " ".join([experiment.objective, *words])
    return by_run


def evaluator_labels(records: Iterable[Run]) -> dict[ScoredAs, str]:
    """Return evaluators' labels: their name, and what tells options apart where there are several.

    Validation data must not choose between ways of evaluating: one would flatter one arm, another
    another.

    Returns:
        Run id and evaluator, as it is scored (``few-shot-1``), to label; those that keep their name
        are left out.
    """
    groups: dict[tuple[str, ...], list[tuple[Run, Json]]] = defaultdict(list)
    for record in records:
        preset, task, model, _ = Experiment.of(record.spec)
        for name, options in record.spec.evaluators.items() if record.scored_by else ():
            groups[preset, task, model, name].append((record, options))
    by_evaluator: dict[ScoredAs, str] = {}
    for (*_, evaluator), group in groups.items():
        names = sorted(differing([options for _, options in group]))
        for record, options in group:
            words = [
                f"{option}={written(options[option])}" for option in names if option in options
            ]
            for scored in scored_as(record, evaluator) if words else ():
                by_evaluator[record.run_id, scored] = " ".join([scored, *words])
    return by_evaluator


def scored_as(record: Run, evaluator: str) -> set[str]:
    """Return the names that an evaluator's scores have: its own, or its parts'."""
    others = set(record.spec.evaluators) - {evaluator}
    names = record.scored_by - others
    return {name for name in names if name == evaluator or name.startswith(f"{evaluator}-")}


def in_order(evaluators: Iterable[str]) -> list[str]:
    """Return evaluators as they are shown, each once: the paper's, then by letter and number.

    Args:
        evaluators: What `evaluator_labels` calls them, or what they are scored as.
    """
    return sorted(set(evaluators), key=_place)


def _place(label: str) -> tuple[int, str]:
    evaluator = label.partition(" ")[0]
    rank = _FIRST.index(evaluator) if evaluator in _FIRST else len(_FIRST)
    return rank, by_numbers(label)


def by_numbers(label: str) -> str:
    """Return what sorts names by letter and number: few-shot-2 before few-shot-16."""
    return re.sub("[0-9]+", lambda digits: digits[0].zfill(20), label)


def _image_options(options: Json) -> Json:
    """Return the options that decide which images; those of a mixture's parts as PART.OPTION."""
    values = {name: value_at(options, name) for name in VARIANT_OPTIONS}
    if not isinstance(options.get(CAPTIONS), dict):  # Else they are the options of written ones.
        values[CAPTIONS] = options.get(CAPTIONS)
    chosen = {
        name: value for name, value in values.items() if value not in (None, _USUAL.get(name))
    }
    chosen |= {name: _shares(chosen[name]) for name in _SHARES if name in chosen}
    parts = options.get("options")
    for part, inner in parts.items() if isinstance(parts, dict) else ():
        if isinstance(inner, dict):
            chosen |= {f"{part}.{name}": value for name, value in _image_options(inner).items()}
    return chosen


def _shares(parts: object) -> object:
    """Return shares so that they add up to one: 1:1 is the mixture that 0.5:0.5 is.

    Of what there is nothing is left out. What another source calls its parts stays as it is.
    """
    if not isinstance(parts, dict):
        return parts
    parts = {name: share for name, share in parts.items() if share != 0}
    if not all(map(_is_share, parts.values())):
        return parts
    # As they are written: 0.1 is a tenth.
    exact = {name: Fraction(str(share)) for name, share in parts.items()}
    return {name: float(share / sum(exact.values())) for name, share in exact.items()}


def _is_share(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value < math.inf


def _share(value: object) -> str:
    return f"{100 * value:.3g} %" if _is_share(value) else str(value)


def _texts(variants: dict[bytes, Json]) -> dict[bytes, str]:
    """Describe variants by what differs between them; in full where that is not enough."""
    names = sorted(differing(list(variants.values())))
    shown = {key: dict(_shown(variant, names)) for key, variant in variants.items()}
    texts = {key: " ".join(_short(*option) for option in one.items()) for key, one in shown.items()}
    if len(set(texts.values())) == len(texts):
        return texts
    return {key: canonical_json(options).decode() for key, options in shown.items()}


def _shown(variant: Json, names: Iterable[str]) -> Iterator[tuple[str, object]]:
    """Yield a variant's options of some names, what is usual where it has none."""
    for name in names:
        value = variant.get(name, _USUAL.get(_last(name)))
        if value is not None:
            yield name, value


def _short(name: str, value: object) -> str:
    """Return an option as a word or two, such as ``guidance=4`` or ``30 % retrieved, 70 % real``.

    A path is its last part.
    """
    if isinstance(value, dict):
        # Another source may call anything its parts.
        shares = {part: _share(value[part]) for part in sorted(value)}
        return ", ".join(f"{share} {part}" for part, share in shares.items())
    if _last(name) not in _BY_NAME:
        return PurePath(str(value)).name
    if isinstance(value, list):
        value = "+".join(map(str, value)) or "nothing"
    return f"{_last(name)}={PurePath(written(value)).name}"


def _last(name: str) -> str:
    return name.rpartition(".")[2]
