"""How runs were judged: one evaluator with other options is another judge."""

import re
from collections import defaultdict
from collections.abc import Iterable

from bench.core.json_values import Json, canonical_json
from bench.core.records import RunRecord

Judged = tuple[str, str]
"""A run and a name that it has scores under."""

# Those of 002 ("Training with Real instead of Synthetic Generated Images Still Performs Better").
_FIRST = ("linear-probe", "zero-shot")


def in_order(names: Iterable[str]) -> list[str]:
    """Return evaluators as they are shown, each once: the paper's, then by letter and number.

    Args:
        names: What `evaluator_labels` calls them, or what they are scored as.
    """
    return sorted(set(names), key=_place)


def _place(name: str) -> tuple[int, str]:
    evaluator = name.partition(" ")[0]
    rank = _FIRST.index(evaluator) if evaluator in _FIRST else len(_FIRST)
    # Digits wide enough that few-shot-2 comes before few-shot-16.
    return rank, re.sub("[0-9]+", lambda digits: digits[0].zfill(20), name)


def evaluator_labels(records: Iterable[RunRecord]) -> dict[Judged, str]:
    """Name what judged each run: its evaluator, and what tells options apart where there are more.

    Validation data must not choose between ways of judging: one would flatter one arm, another
    another.

    Returns:
        Run id and evaluator, as it is scored (``few-shot-1``), to label; those that keep their name
        are left out.
    """
    groups: dict[tuple[str, ...], list[tuple[RunRecord, Json]]] = defaultdict(list)
    for record in records:
        spec = record.spec
        for name, options in spec.evaluators.items() if record.scores else ():
            groups[spec.preset, spec.task, spec.model, name].append((record, options))
    found: dict[Judged, str] = {}
    for (*_, name), own in groups.items():
        differing = _differing([options for _, options in own])
        for record, options in own:
            words = [f"{option}={options[option]}" for option in differing if option in options]
            for scored in _scored(record, name) if words else ():
                found[record.run_id, scored] = " ".join([scored, *words])
    return found


def _differing(given: list[Json]) -> list[str]:
    """Return the options that have several values, absence being one."""
    names = sorted({name for options in given for name in options})
    return [
        name for name in names if len({canonical_json(options.get(name)) for options in given}) > 1
    ]


def _scored(record: RunRecord, evaluator: str) -> set[str]:
    """Return the names that an evaluator's scores have: its own, or its parts'."""
    others = set(record.spec.evaluators) - {evaluator}
    names = {score.evaluator for score in record.scores} - others
    return {name for name in names if name == evaluator or name.startswith(f"{evaluator}-")}
