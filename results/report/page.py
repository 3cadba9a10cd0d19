"""The report: one HTML file that holds everything, plots and tables as files beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import msgspec
import pandas as pd

from bench.core.errors import BenchError
from bench.core.files import write_atomic
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.size import format_size
from results import pairs, tables
from results.conclusions.choices import named
from results.database import queries, store
from results.database.rows import parse_json
from results.experiment import Experiment
from results.report import evidence
from results.report.assets import assets
from results.report.section import Section, records, section
from results.report.unfinished import unfinished
from results.tables import Table
from results.wording import unbroken

if TYPE_CHECKING:
    from results.database.store import Choice, Collected, Connection

_TABLE_ENDINGS = {"md": "md", "csv": "csv", "latex": "tex", "parquet": "parquet"}

_NAME_BYTES = 180
"""Of a file's name, which may have 255 with its ending and while it is written."""

RUNS_FILE = "runs.parquet"


@dataclass(frozen=True)
class ReportPaths:
    """The files of a report; an experiment without scores has no plot."""

    collected: Collected
    html: Path
    plots: dict[Experiment, list[Path]]
    tables: list[Path]

    @property
    def database(self) -> Path:
        """The database that it was made from."""
        return self.collected.database


def write_report(
    home: Home, out: Path, settings: Choice = "once", refresh: int | None = None
) -> ReportPaths:
    """Bring the database up to date and write the report of everything in it.

    Args:
        home: Where the records are.
        out: The folder to write to. If it is not the home's, it takes the database too where the
            home cannot be written to.
        settings: How often the setting of an arm is chosen.
        refresh: Seconds after which an open page loads itself again; None for never.

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
    paths = ReportPaths(collected, out / "report.html", {}, [])
    with collected.reading() as connection:
        names = _file_names(queries.experiments(connection))
        sections = [
            section(home, connection, experiment, f"e{place}")
            for place, experiment in enumerate(names, start=1)
        ]
        for experiment, name in names.items():
            _write_files(home, connection, experiment, out / name, paths)
        runs_file = _write_runs(sections, out)
        page = _template().render(
            sections=[each.shown for each in sections],
            rows=[(each.shown, row) for each in sections for row in each.shown.get("overview", [])],
            data=_data(connection, list(names), sections, details=not runs_file),
            runs_file=runs_file,
            assets=assets(),
            refresh=refresh,
            failures=records(queries.failures(connection)),
            pool_ends=records(queries.pool_ends(connection)),
            studies=unfinished(home, queries.settled(connection)),
            provenance=[
                row | {"versions": parse_json(row["versions"])}
                for row in records(queries.provenance(connection))
            ],
            collected=collected,
            legend=tables.LEGEND,
        )
    write_atomic(paths.html, page.encode())
    return paths


def _write_files(
    home: Home, connection: Connection, experiment: Experiment, stem: Path, paths: ReportPaths
) -> None:
    """Write an experiment's plot and tables as files."""
    table = Table.of(connection, experiment)
    if table.means.empty:
        return
    paths.plots[experiment] = _write_plots(home, connection, experiment, stem)
    paths.tables.extend(_write_tables(table, stem))
    paths.tables.append(stem.with_name(f"{stem.name}-differences.csv"))
    differences = pairs.pair_table(connection, experiment)
    write_atomic(paths.tables[-1], differences.to_csv(index=False).encode())


def _write_plots(
    home: Home, connection: Connection, experiment: Experiment, stem: Path
) -> list[Path]:
    # Matplotlib takes a second to import; whoever only exports tables need not wait for it.
    from results.drawing.look import LOOKS
    from results.drawing.wanted import Wanted
    from results.figures import scaling

    wanted = Wanted(home, connection, experiment, LOOKS["paper"], wide=True)
    return scaling.draw(wanted).save(stem, ("png", "svg"))


def _write_tables(table: Table, stem: Path) -> list[Path]:
    paths = []
    for format_, ending in _TABLE_ENDINGS.items():
        paths.append(stem.with_name(f"{stem.name}.{ending}"))
        write_atomic(paths[-1], tables.render([table], format_))
    return paths


def _write_runs(sections: Sequence[Section], out: Path) -> str:
    """Write the runs' scores to a file if they are too many for the page, and return its name."""
    path = out / RUNS_FILE
    if sum(len(each.runs) for each in sections) <= evidence.MOST_ROWS:
        path.unlink(missing_ok=True)
        return ""
    with_scores = [each.runs for each in sections if len(each.runs)]
    write_atomic(path, evidence.as_parquet(pd.concat(with_scores)))
    return RUNS_FILE


def _data(
    connection: Connection,
    experiments: Sequence[Experiment],
    sections: Sequence[Section],
    *,
    details: bool,
) -> str:
    """Return what the scripts read, as JSON in which no tag can begin or end."""
    known: Json = {}
    for experiment, each in zip(experiments, sections, strict=True):
        if each.curves:
            runs = evidence.runs(connection, experiment, each.runs) if details else []
            ids = {} if details else evidence.run_ids(each.runs)
            known[each.shown["name"]] = {
                "title": experiment.title, "curves": each.curves, "runs": runs, "ids": ids,
            }  # fmt: skip
    text = msgspec.json.encode({"sections": known, "file": "" if details else RUNS_FILE}).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


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
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        # Captions, paths and error texts come from the web.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": _size,
        "percent": _percent,
        "points": _points,
        "count": _count,
        "thousands": _thousands,
        "named": _named,
        "unbroken": unbroken,
    }
    return environment.get_template("page.html")


def _size(count: float | None) -> str:
    return "all" if count is None or math.isnan(count) else format_size(int(count))


def _percent(value: float) -> str:
    return "none" if math.isnan(value) else f"{100 * value:.1f}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "\u2212")


def _count(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.0f}"


def _thousands(number: float) -> str:
    return f"{number:,.0f}"


def _named(text: Any) -> str:  # noqa: ANN401 (a JSON column, or nothing)
    return named(text) if isinstance(text, str) else ""
