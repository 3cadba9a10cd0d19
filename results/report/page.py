"""The report: one HTML file that holds everything, plots and tables as files beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import msgspec

from bench.core.errors import BenchError
from bench.core.files import write_atomic
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.size import format_size
from results import tables
from results.conclusions.choices import named
from results.database import queries, store
from results.database.rows import parse_json
from results.experiment import Experiment, file_names
from results.labels import UNADAPTED
from results.objectives import objectives
from results.report import evidence, files
from results.report.assets import assets
from results.report.section import Section, records, section
from results.report.unfinished import Unfinished, unfinished
from results.tables.objectives import sheet
from results.wording import unbroken

if TYPE_CHECKING:
    from results.database.store import Choice, Collected, Connection


@dataclass(frozen=True)
class ReportPaths:
    """The files of a report, and what they were made from.

    Attributes:
        collected: The database.
        html: The page.
        plots: Each experiment's plot; one without scores has none.
        tables: The tables.
        waiting: How many runs of the home's studies may still come.
    """

    collected: Collected
    html: Path
    plots: dict[Experiment, list[Path]]
    tables: list[Path]
    waiting: int

    @property
    def database(self) -> Path:
        """The database that the report was made from."""
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
    collected = store.collect(home, settings, None if out == home.report else out)
    if out != home.report:
        out.mkdir(parents=True, exist_ok=True)
    if not collected.read:
        raise BenchError(
            f"none of the {len(collected.skipped)} records can be read: {collected.skipped[0]}",
            "`bench collect` names each; remove them and run them again",
        )
    html = out / "report.html"
    with collected.reading() as connection:
        names = file_names(queries.experiments(connection))
        sections = {
            experiment: section(home, connection, experiment, f"e{place}")
            for place, experiment in enumerate(names, start=1)
        }
        stems = {one: out / name for one, name in names.items() if sections[one].curves}
        plots = {one: files.write_plots(home, connection, one, stems[one]) for one in stems}
        written = {one: files.write_tables(connection, one, stems[one]) for one in stems}
        runs = {experiment: each.runs for experiment, each in sections.items()}
        runs_file = files.write_runs(connection, runs, out)
        lacking = _lacking(home, connection)
        page = _template().render(
            collected=collected,
            refresh=refresh,
            runs_file=runs_file,
            data=_data(connection, sections, runs_file),
            **_content(connection, sections, lacking),
        )
    write_atomic(html, page.encode())
    waiting = sum(study.waiting for study in lacking)
    written_tables = [path for paths in written.values() for path in paths]
    return ReportPaths(collected, html, plots, written_tables, waiting)


def _lacking(home: Home, connection: Connection) -> list[Unfinished]:
    """Return the studies that lack runs."""
    failed = set(queries.failures(connection)["run_id"])
    return unfinished(home, queries.settled(connection), failed)


def _content(
    connection: Connection, sections: Mapping[Experiment, Section], lacking: list[Unfinished]
) -> dict[str, Any]:
    """Return what the template shows."""
    shown = [each.shown for each in sections.values()]
    rows = [(each, row) for each in shown for row in each.get("overview", [])]
    sheets = [sheet(one) for one in objectives(connection)]
    return {
        "sections": shown,
        "rows": rows,
        "objectives": sheets,
        "of_objectives": bool(sheets) and all(row.b == UNADAPTED for _, row in rows),
        "studies": lacking,
        "failures": records(queries.failures(connection)),
        "pool_ends": records(queries.pool_ends(connection)),
        "provenance": [
            row | {"versions": parse_json(row["versions"])}
            for row in records(queries.provenance(connection))
        ],
        "assets": assets(),
        "legend": tables.LEGEND,
    }


def _data(connection: Connection, sections: Mapping[Experiment, Section], runs_file: str) -> str:
    """Return what the scripts read, as JSON in which no tag can begin or end."""
    known: Json = {}
    for experiment, each in sections.items():
        if each.curves:
            known[each.shown["name"]] = {
                "title": experiment.title,
                "curves": each.curves,
                "looks": each.looks,
                "runs": [] if runs_file else evidence.runs(connection, experiment, each.runs),
                "ids": evidence.run_ids(each.runs) if runs_file else {},
            }
    text = msgspec.json.encode({"sections": known, "file": runs_file}).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


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
        "chosen": _chosen,
        "unbroken": unbroken,
    }
    return environment.get_template("page.html")


def _size(count: float | None) -> str:
    return "all" if count is None or math.isnan(count) else format_size(int(count))


def _percent(value: float) -> str:
    return "none" if math.isnan(value) else f"{100 * value:.1f}"


def _points(value: float) -> str:
    # Zero has no sign of its own once it is added to zero.
    return f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "\u2212")


def _count(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.0f}"


def _thousands(number: float) -> str:
    return f"{number:,.0f}"


def _named(text: Any) -> str:  # noqa: ANN401 (a JSON column, or nothing)
    return named(text) if isinstance(text, str) else ""


def _chosen(text: Any) -> str:  # noqa: ANN401 (a JSON column, or nothing)
    rounded = {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in parse_json(text).items()
    }
    return _named(msgspec.json.encode(rounded).decode())
