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
from results import pairs, tables
from results.conclusions import classes
from results.conclusions.choices import named
from results.conclusions.conclusion import conclusions, left_out
from results.conclusions.seeds import what_seeds_varied
from results.database import queries, store
from results.database.rows import parse_json
from results.experiment import Experiment
from results.fidelity import describe
from results.labels import in_order
from results.published import published
from results.report.image_sets import audits, without_images
from results.report.unfinished import unfinished
from results.tables import Table
from results.wording import unbroken

if TYPE_CHECKING:
    from results.database.store import Choice, Connection

_TABLE_ENDINGS = {"md": "md", "csv": "csv", "latex": "tex", "parquet": "parquet"}

_NAME_BYTES = 180
"""Of a file's name, which may have 255 with its ending and while it is written."""


@dataclass(frozen=True)
class ReportPaths:
    """The files of a report; an experiment without scores has no plot."""

    database: Path
    html: Path
    plots: dict[Experiment, list[Path]]
    tables: list[Path]


def write_report(home: Home, out: Path, settings: Choice = "once") -> ReportPaths:
    """Rebuild the database and write the report of everything in it.

    Args:
        home: Where the records are.
        out: The folder to write to. If it is not the home's, it takes the database too where the
            home cannot be written to.
        settings: How often the setting of an arm is chosen.

    Raises:
        BenchError: If there is no record that can be read.
    """
    if out != home.report:
        out.mkdir(parents=True, exist_ok=True)
    collected = store.collect(home, settings, None if out == home.report else out)
    if not collected.read:
        raise BenchError(
            f"none of the {len(collected.skipped)} records can be read: {collected.skipped[0]}",
            "run `bench demo` for a first study, or set BENCH_HOME",
        )
    paths = ReportPaths(collected.database, out / "report.html", {}, [])
    with collected.reading() as connection:
        names = _file_names(queries.experiments(connection))
        sections = [
            _section(connection, experiment, out / name, paths)
            | {"image_sets": audits(home, queries.image_sets(connection, experiment))}
            for experiment, name in names.items()
        ]
        page = _template().render(
            sections=sections,
            failures=_records(queries.failures(connection)),
            pool_ends=_records(queries.pool_ends(connection)),
            studies=unfinished(home, queries.settled(connection)),
            provenance=[
                row | {"versions": parse_json(row["versions"])}
                for row in _records(queries.provenance(connection))
            ],
            collected=collected,
            legend=tables.LEGEND,
        )
    write_atomic(paths.html, page.encode())
    return paths


def _section(
    connection: Connection, experiment: Experiment, stem: Path, paths: ReportPaths
) -> dict[str, Any]:
    """Write an experiment's plots and tables, and return what the template shows of it."""
    fidelity = queries.fidelity(connection, experiment)
    table = Table.of(connection, experiment)
    head = {"title": table.title, "left_out": left_out(connection, experiment)}
    if table.means.empty:
        return head
    plots = paths.plots[experiment] = _write_plots(table, stem)
    differences = pairs.pair_table(connection, experiment)
    runs = queries.selected_runs(connection, experiment)
    paths.tables.extend(_write_tables(table, stem))
    paths.tables.append(stem.with_name(f"{stem.name}-differences.csv"))
    write_atomic(paths.tables[-1], differences.to_csv(index=False).encode())
    return head | {
        "conclusions": conclusions(connection, experiment),
        "plot": base64.b64encode(plots[1].read_bytes()).decode(),
        "table": tables.readable(table.means, other_epochs=True),
        "seeds": what_seeds_varied(runs),
        "choices": table.choices,
        "settings": _settings(connection, experiment),
        "differences": pairs.readable(differences),
        "classes": classes.sentences(connection, experiment, in_order(runs["evaluator"])),
        "caution": table.caution,
        "fidelity": describe(fidelity, experiment.task),
        "published": published(experiment),
        "image_counts": _records(queries.image_counts(connection, experiment)),
        "empty_classes": without_images(queries.empty_classes(connection, experiment)),
        "small_groups": _records(queries.small_groups(connection, experiment)),
        "missing_runs": _records(queries.missing_runs(connection, experiment)),
        "runs": _records(runs),
    }


def _settings(connection: Connection, experiment: Experiment) -> list[dict[str, Any]]:
    """Return every setting of the arms that had several."""
    settings = queries.settings(connection, experiment)
    several = settings.groupby("label")["setting"].transform("nunique") > 1
    return _records(settings.assign(setting=settings["setting"].map(named))[several])


def _write_plots(table: Table, stem: Path) -> list[Path]:
    # Matplotlib takes a second to import; whoever only exports tables need not wait for it.
    from results.figures import scaling

    return scaling.save(scaling.scaling_figure(table.means, table.title, table.caution), stem)


def _write_tables(table: Table, stem: Path) -> list[Path]:
    paths = []
    for format_, ending in _TABLE_ENDINGS.items():
        paths.append(stem.with_name(f"{stem.name}.{ending}"))
        write_atomic(paths[-1], tables.render([table], format_))
    return paths


def _file_names(experiments: list[Experiment]) -> dict[Experiment, str]:
    """Name each experiment's files by its task, and by whatever else they differ in."""
    varying = [
        field
        for field in ("preset", "model", "objective")
        if len({getattr(experiment, field) for experiment in experiments}) > 1
    ]
    names: dict[Experiment, str] = {}
    for experiment in experiments:
        parts = [experiment.task, *(Path(getattr(experiment, field)).name for field in varying)]
        name = re.sub(r"[^\w.-]+", "-", "-".join(parts)).strip(".-") or "experiment"
        name = name.encode()[:_NAME_BYTES].decode(errors="ignore")
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
    environment.filters |= {
        "size": _size,
        "percent": _percent,
        "count": _count,
        "unbroken": unbroken,
    }
    return environment.get_template("report.html")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _size(count: float | None) -> str:
    return "all" if count is None or math.isnan(count) else format_size(int(count))


def _percent(value: float) -> str:
    return "none" if math.isnan(value) else f"{100 * value:.1f}"


def _count(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.0f}"
