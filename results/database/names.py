"""What specs are called: names depend on all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import duckdb
import msgspec
import polars as pl

from bench.core.json_values import canonical_json
from bench.core.specs import RunSpec
from results.database.statements import statement
from results.labels import evaluator_labels, labels, objective_labels, scored_as
from results.settings import settings
from results.tasks import task_names


class _Spec(NamedTuple):
    """What stands for all runs that differ in n and seed alone; `run_id` is the id they share."""

    run_id: str
    spec: RunSpec
    scored_by: frozenset[str]
    started: str


def rename(connection: duckdb.DuckDBPyConnection) -> None:
    """Name all specs and tasks anew."""
    specs, places = _with_task_names(_read(connection))
    of_run, of_objective, of_setting = labels(specs), objective_labels(specs), settings(specs)
    names = [
        {
            "spec_id": each.run_id,
            "task": each.spec.task,
            "label": of_run[each.run_id],
            "objective": of_objective[each.run_id],
            "setting": canonical_json(of_setting[each.run_id]).decode(),
        }
        for each in specs
    ]
    tasks = [{"name": name, "place": place} for name, place in places.items()]
    for table, rows in (
        ("names", names),
        ("evaluator_names", _evaluator_names(specs)),
        ("tasks", tasks),
    ):
        connection.execute(statement(f"clear_{table}"))
        if rows:
            connection.register("incoming", pl.DataFrame(rows))
            connection.execute(statement(f"insert_{table}"))


def _read(connection: duckdb.DuckDBPyConnection) -> list[_Spec]:
    decoder = msgspec.json.Decoder(RunSpec)
    rows = connection.execute(statement("specs")).fetchall()
    return [
        _Spec(spec_id, decoder.decode(spec), frozenset(scored_by), started)
        for spec_id, spec, scored_by, started in rows
    ]


def _with_task_names(specs: Sequence[_Spec]) -> tuple[list[_Spec], dict[str, str]]:
    """Return specs with their tasks' names, and these names to where each was last."""
    names = task_names(specs)
    by_date = sorted(specs, key=lambda each: (each.started, each.run_id))
    places = {names[each.spec.task]: each.spec.task for each in by_date}
    named = [
        each._replace(spec=msgspec.structs.replace(each.spec, task=names[each.spec.task]))
        for each in specs
    ]
    return named, places


def _evaluator_names(specs: Sequence[_Spec]) -> list[dict[str, object]]:
    named = evaluator_labels(specs)
    rows: list[dict[str, object]] = []
    for each in specs:
        selecting = scored_as(each, each.spec.train.select_by)
        rows += [
            {
                "spec_id": each.run_id,
                "evaluator": evaluator,
                "label": named.get((each.run_id, evaluator), evaluator),
                "selects": evaluator in selecting,
            }
            for evaluator in sorted(each.scored_by)
        ]
    return rows
