"""The report: one HTML file that holds everything, plots and tables as files beside it."""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd

from bench.core.errors import BenchError
from bench.core.files import write_atomic
from bench.core.paths import Home
from bench.core.size import format_size
from results import classes, image_sets, pairs, queries, store, tables
from results.conclusion import conclusions, left_out
from results.fidelity import describe
from results.protocols import in_order
from results.published import published
from results.queries import Experiment
from results.rows import parse_json
from results.tables import Table
from results.unfinished import unfinished
from results.wording import glued

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TABLE_ENDINGS = {"md": "md", "csv": "csv", "latex": "tex", "parquet": "parquet"}


@dataclass(frozen=True)
class ReportPaths:
    """The files of a report; an experiment without scores has no plot."""

    html: Path
    plots: dict[Experiment, list[Path]]
    tables: list[Path]


def write_report(home: Home, out: Path) -> ReportPaths:
    """Rebuild the database and write the report of everything in it.

    Args:
        home: Where the records are.
        out: The folder to write to.

    Raises:
        BenchError: If there is no record that can be read.
    """
    collected = store.collect(home)
    if not collected.read:
        raise BenchError(
            f"none of the {len(collected.skipped)} records can be read: {collected.skipped[0]}",
            "run `bench demo` for a first study, or set BENCH_HOME",
        )
    paths = ReportPaths(out / "report.html", {}, [])
    with store.reading(home) as connection:
        names = _file_names(queries.experiments(connection))
        sections = [
            _section(connection, experiment, out / name, paths)
            | {"image_sets": image_sets.shown(home, queries.image_sets(connection, experiment))}
            for experiment, name in names.items()
        ]
        page = _template().render(
            sections=sections,
            failures=_records(queries.failures(connection)),
            studies=unfinished(home, queries.finished(connection)),
            provenance=[_code(row) for row in _records(queries.provenance(connection))],
            collected=collected,
            legend=tables.LEGEND,
        )
    write_atomic(paths.html, page.encode())
    return paths


def _section(
    connection: DuckDBPyConnection, experiment: Experiment, stem: Path, paths: ReportPaths
) -> dict[str, Any]:
    """Write an experiment's plot and tables, and return what the template shows of it."""
    fidelity = queries.fidelity(connection, experiment)
    table = Table.of(experiment, queries.scaling(connection, experiment), fidelity)
    head = {"title": table.title, "left_out": left_out(connection, experiment)}
    if table.means.empty:
        return head
    plots = paths.plots[experiment] = _write_plots(table, stem)
    differences = pairs.paired(connection, experiment)
    runs = queries.selected_runs(connection, experiment)
    paths.tables.extend(_write_tables(table, stem))
    paths.tables.append(stem.with_name(f"{stem.name}-differences.csv"))
    write_atomic(paths.tables[-1], differences.to_csv(index=False).encode())
    return head | {
        "conclusions": conclusions(connection, experiment),
        "plot": base64.b64encode(plots[1].read_bytes()).decode(),
        "table": tables.readable(table.means),
        "differences": pairs.readable(differences),
        "classes": classes.sentences(connection, experiment, in_order(runs["evaluator"])),
        "caution": table.caution,
        "fidelity": describe(fidelity, experiment.task),
        "published": published(experiment),
        "stage_counts": _records(queries.stage_counts(connection, experiment)),
        "holes": _records(queries.holes(connection, experiment)),
        "runs": _records(runs),
    }


def _write_plots(table: Table, stem: Path) -> list[Path]:
    # Matplotlib takes a second to import; whoever only exports tables need not wait for it.
    from results import figures

    return figures.save(figures.scaling_figure(table.means, table.title, table.caution), stem)


def _write_tables(table: Table, stem: Path) -> list[Path]:
    paths = []
    for format_, ending in _TABLE_ENDINGS.items():
        paths.append(stem.with_name(f"{stem.name}.{ending}"))
        write_atomic(paths[-1], tables.render([table], format_))
    return paths


def _file_names(experiments: list[Experiment]) -> dict[Experiment, str]:
    """Name each experiment's files by its task, and by whatever else tells it from the others."""
    varying = [
        field
        for field in ("preset", "model", "objective")
        if len({getattr(experiment, field) for experiment in experiments}) > 1
    ]
    names: dict[Experiment, str] = {}
    for experiment in experiments:
        parts = [experiment.task, *(Path(getattr(experiment, field)).name for field in varying)]
        name = re.sub(r"[^\w.-]+", "-", "-".join(parts)).strip(".-") or "experiment"
        names[experiment] = name if name not in names.values() else f"{name}-{len(names)}"
    return names


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        # Captions, paths and error texts come from the web.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": _size, "percent": _percent, "count": _count, "glued": glued}
    return environment.get_template("report.html")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _size(count: float | None) -> str:
    return "all" if count is None or math.isnan(count) else format_size(int(count))


def _percent(value: float) -> str:
    return "none" if math.isnan(value) else f"{100 * value:.1f}"


def _count(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.0f}"


def _code(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"versions": parse_json(row["versions"])}
