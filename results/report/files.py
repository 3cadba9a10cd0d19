"""The files beside the page: an experiment's plot and tables, and the runs of large homes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.core.files import write_atomic
from bench.core.paths import Home
from results import pairs, tables
from results.experiment import Experiment
from results.report import evidence
from results.tables import Table

if TYPE_CHECKING:
    from results.database.store import Connection

RUNS_FILE = "runs.parquet"

_TABLE_ENDINGS = {"md": "md", "csv": "csv", "latex": "tex", "parquet": "parquet"}


def write_plots(
    home: Home, connection: Connection, experiment: Experiment, stem: Path
) -> list[Path]:
    """Write an experiment's scaling plot, with its caption, and return the paths."""
    # Matplotlib takes a second to import; whoever only exports tables need not wait for it.
    from results.drawing.look import LOOKS
    from results.drawing.wanted import Wanted
    from results.figures import scaling

    wanted = Wanted(home, connection, experiment, LOOKS["paper"], wide=True)
    return scaling.draw(wanted).save(stem, ("png", "svg"))


def write_tables(connection: Connection, experiment: Experiment, stem: Path) -> list[Path]:
    """Write an experiment's scores in every format, and its differences; return the paths."""
    table, paths = Table.of(connection, experiment), []
    for format_, ending in _TABLE_ENDINGS.items():
        paths.append(stem.with_name(f"{stem.name}.{ending}"))
        write_atomic(paths[-1], tables.render([table], format_))
    paths.append(stem.with_name(f"{stem.name}-differences.csv"))
    differences = pairs.pair_table(connection, experiment)
    write_atomic(paths[-1], differences.to_csv(index=False).encode())
    return paths


def write_runs(connection: Connection, runs: Mapping[Experiment, pd.DataFrame], out: Path) -> str:
    """Write runs' scores to `RUNS_FILE`, with their commands, if they are too many for the page.

    Returns:
        The file's name; empty where the page holds them.
    """
    path = out / RUNS_FILE
    if sum(map(len, runs.values())) <= evidence.MOST_ROWS:
        # Somebody's own file of that name stays.
        page = out / "report.html"
        if page.is_file() and f'href="{RUNS_FILE}"' in page.read_text("utf-8", "replace"):
            path.unlink(missing_ok=True)
        return ""
    frames = [
        evidence.with_commands(connection, experiment, some)
        for experiment, some in runs.items()
        if len(some)
    ]
    write_atomic(path, evidence.as_parquet(pd.concat(frames)))
    return RUNS_FILE
