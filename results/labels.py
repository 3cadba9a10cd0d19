"""What runs and evaluators are called: their name, and what tells variants of it apart."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Set
from fractions import Fraction
from pathlib import PurePath
from typing import Protocol, TypeGuard

from bench.core.json_values import Json, canonical_json, value_at
from bench.core.specs import RunSpec
from bench.planning.differences import differing, leaves
from results.experiment import Experiment

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
    *("pool", "path", "parts", "of", "generation.model"),
    *("captions.writer", "captions.options.model"),
)
"""Other images to learn from, not other hyper-parameters: validation data must not choose."""

# The evaluators of Geng 2024.
_FIRST = ("linear-probe", "zero-shot")


def variant(spec: RunSpec) -> Json:
    """Return what makes a run's images an experiment of their own; nothing for no images."""
    return {} if spec.source == UNADAPTED else {**_image_options(spec.options), "order": spec.order}


def labels(records: Iterable[Run]) -> dict[str, str]:
    """Return each run's label: its source, and what tells variants apart where there are several.

    Where the runs of an experiment were selected by several evaluators, the label says by which:
    one curve never shows models of two selections.

    Returns:
        Run id to label.
    """
    groups: dict[tuple[_Shared, str], list[Run]] = defaultdict(list)
    selectors: dict[_Shared, set[str]] = defaultdict(set)
    for record in records:
        spec = record.spec
        shared = Experiment.of(spec), canonical_json(spec.objective_options)
        groups[shared, spec.source].append(record)
        if spec.source != UNADAPTED:
            selectors[shared].add(spec.train.select_by)
    by_run: dict[str, str] = {}
    for (shared, source), group in groups.items():
        variants = {record.run_id: variant(record.spec) for record in group}
        texts = _texts({canonical_json(one): one for one in variants.values()})
        several = source != UNADAPTED and len(selectors[shared]) > 1
        for record in group:
            words = [source, texts[canonical_json(variants[record.run_id])]]
            words += [f"select_by={record.spec.train.select_by}"] if several else []
            by_run[record.run_id] = " ".join(filter(None, words))
    return by_run


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
            words = [f"{name}={own[name]}" for name in names if name in own]
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
    for (*_, name), group in groups.items():
        names = sorted(differing([options for _, options in group]))
        for record, options in group:
            words = [f"{option}={options[option]}" for option in names if option in options]
            for scored in scored_as(record, name) if words else ():
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
    # Digits wide enough that few-shot-2 comes before few-shot-16.
    return rank, re.sub("[0-9]+", lambda digits: digits[0].zfill(20), label)


def _image_options(options: Json) -> Json:
    """Return the options that decide which images; those of a mixture's parts as PART.OPTION."""
    values = {name: value_at(options, name) for name in VARIANT_OPTIONS}
    chosen = {name: value for name, value in values.items() if value is not None}
    if "parts" in chosen:
        chosen["parts"] = _shares(chosen["parts"])
    parts = options.get("options")
    for part, inner in parts.items() if isinstance(parts, dict) else ():
        if isinstance(inner, dict):
            chosen |= {f"{part}.{name}": value for name, value in _image_options(inner).items()}
    return chosen


def _shares(parts: object) -> object:
    """Return a mixture's shares so that they add up to one: 1:1 is the mixture that 0.5:0.5 is.

    What another source calls its parts is returned as it is.
    """
    if not isinstance(parts, dict) or not all(map(_is_share, parts.values())):
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
    shown = {
        key: {name: variant[name] for name in names if name in variant}
        for key, variant in variants.items()
    }
    texts = {key: " ".join(map(_short, options.values())) for key, options in shown.items()}
    if len(set(texts.values())) == len(texts):
        return texts
    return {key: canonical_json(options).decode() for key, options in shown.items()}


def _short(value: object) -> str:
    """Return a mixture's shares as ``30 % retrieved, 70 % synthetic``, a path as its last part."""
    if isinstance(value, dict):
        # Another source may call anything its parts.
        written = {name: _share(value[name]) for name in sorted(value)}
        return ", ".join(f"{share} {name}" for name, share in written.items())
    return PurePath(str(value)).name
