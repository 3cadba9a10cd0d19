"""How runs were judged: one evaluator with other options is another judge."""

from collections import defaultdict
from collections.abc import Iterable

from bench.types import Json, RunRecord, canonical_json

Judged = tuple[str, str]
"""A run and a name that it has scores under."""


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
