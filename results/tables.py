"""The results as tables: one row per source and n; seed spread and test interval side by side."""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from bench.core.errors import BenchError, unknown_name
from bench.core.files import write_atomic
from bench.core.paths import Home
from bench.core.size import format_size
from bench.core.terminal import escaped
from results.conclusions.choices import choices
from results.database import queries, store
from results.experiment import Experiment
from results.fidelity import caution
from results.labels import UNADAPTED, in_order

if TYPE_CHECKING:
    from results.database.store import Choice, Connection

LEGEND = "in %; ± standard deviation over seeds; [95 % interval over test images]"

OTHER_EPOCHS = {", best trained epoch": "trained_mean", ", last epoch": "last_mean"}
"""Endings of the columns for other epochs than the chosen one, and the means that they show."""

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        **{character: f"\\{character}" for character in "&%$#_{}"},
    }
)


class Table(NamedTuple):
    """An experiment's results; the means are rows of `results.database.queries.scaling`."""

    title: str
    means: pd.DataFrame
    caution: str
    choices: list[str]

    @classmethod
    def of(cls, connection: Connection, experiment: Experiment) -> Table:
        """Return an experiment's table."""
        fidelity = queries.fidelity(connection, experiment)
        return cls(
            experiment.title,
            queries.scaling(connection, experiment),
            caution(fidelity, experiment.preset, experiment.task),
            choices(connection, experiment),
        )

    @property
    def legend(self) -> str:
        """What the numbers are, what to keep in mind about them, and what was chosen."""
        known = f"{LEGEND}; {self.caution}" if self.caution else LEGEND
        return " ".join([f"{known}.", *self.choices])


def export(home: Home, format_: str, out: Path, settings: Choice = "once") -> bool:
    """Write every experiment's table to one file.

    Where the home cannot be written to, its database is built in a temporary folder.

    Args:
        home: Where the records are.
        format_: ``csv`` and ``parquet`` hold plain numbers, one row per score; ``md`` and ``latex``
            are for reading.
        out: The file.
        settings: How often the setting of an arm is chosen.

    Returns:
        Whether the database was built in the home.

    Raises:
        BenchError: If there is nothing to export.
        RequestError: If the format is unknown.
    """
    if format_ not in (formats := ["csv", "latex", "md", "parquet"]):
        raise unknown_name("format", format_, formats)
    with tempfile.TemporaryDirectory() as spare:
        collected = store.collect(home, settings, Path(spare))
        with collected.reading() as connection:
            tables = [
                Table.of(connection, experiment) for experiment in queries.experiments(connection)
            ]
    if all(table.means.empty for table in tables):
        raise BenchError("no finished run has test scores", "look at `bench report` for failures")
    write_atomic(out, render(tables, format_))
    return collected.database == home.database


def render(tables: Sequence[Table], format_: str) -> bytes:
    """Return tables as the bytes of one file."""
    if format_ in ("csv", "parquet"):
        numbers = pd.concat([table.means for table in tables])
        if format_ == "csv":
            return numbers.to_csv(index=False).encode()
        content = io.BytesIO()
        numbers.to_parquet(content, index=False)
        return content.getvalue()
    write = {"md": _markdown, "latex": _latex}[format_]
    return "\n".join(write(table) for table in tables).encode()


def text(means: pd.DataFrame) -> str:
    """Return a table aligned for a terminal."""
    lines = _lines(readable(means))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [*lines, [LEGEND] + [""] * (len(widths) - 1)]
    )


def readable(means: pd.DataFrame, *, other_epochs: bool = False) -> pd.DataFrame:
    """Return rows of `results.database.queries.scaling` as text, one column per evaluator.

    A score with fewer seeds than others of its row says how many.

    Args:
        means: The rows.
        other_epochs: Whether each evaluator has columns for its means at other epochs too.
    """
    point = means.groupby(["label", "n_used"])
    seeds = point["seeds"].transform("max")
    used = zip(
        point["n_used_min"].transform("min"), point["n_used_max"].transform("max"), strict=True
    )
    keys = {
        "source": means["label"].replace(UNADAPTED, "unadapted"),
        "n used": [" to ".join(map(format_size, dict.fromkeys(ends))) for ends in used],
        "seeds": seeds.astype(str),
    }
    evaluators = means["evaluator"] + " " + means["metric"]
    by_ending = {
        "": [_cell(row, most) for row, most in zip(means.to_dict("records"), seeds, strict=True)]
    }
    # Records of earlier versions have the chosen epoch alone.
    if other_epochs and means["last_mean"].notna().any():
        by_ending |= {
            name: list(map(_mean, means[column])) for name, column in OTHER_EPOCHS.items()
        }
    shown = pd.concat(
        pd.DataFrame({**keys, "column": evaluators + ending, "cell": cells})
        for ending, cells in by_ending.items()
    )
    cells = shown.pivot_table(index=list(keys), columns="column", values="cell", aggfunc="first")
    # A pivot sorts its rows and columns as text; ours come by source and size, and by evaluator.
    rows = pd.MultiIndex.from_frame(shown[list(keys)].drop_duplicates())
    columns = [name + ending for name in in_order(evaluators) for ending in by_ending]
    ordered = cells.reindex(index=rows, columns=columns)
    return ordered.fillna("").reset_index().rename_axis(columns=None)


def _mean(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.1f}"


def _cell(row: dict[Hashable, Any], most: int) -> str:
    columns = ("mean", "seed_std", "test_low", "test_high")
    mean, spread, low, high = (f"{100 * row[column]:.1f}" for column in columns)
    spread = f" ± {spread}" if row["seeds"] > 1 else ""
    fewer = f" (seeds: {row['seeds']})" if row["seeds"] < most else ""
    return f"{mean}{spread} [{low}, {high}]{fewer}"


def _lines(table: pd.DataFrame) -> list[list[str]]:
    cells = [list(map(str, line)) for line in [table.columns, *table.to_numpy()]]
    return [[_line(cell) for cell in line] for line in cells]


def _line(text: str) -> str:
    """Return a name, which is a user's, as one line."""
    return " ".join(escaped(text).split())


def _markdown(table: Table) -> str:
    head, *body = (
        [cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for cell in line]
        for line in _lines(readable(table.means, other_epochs=True))
    )
    rows = "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *body])
    return f"## {_line(table.title)}\n\n{rows}\n{table.legend}\n"


def _latex(table: Table) -> str:
    lines = _lines(readable(table.means, other_epochs=True))
    head, *body = (" & ".join(cell.translate(_LATEX) for cell in line) for line in lines)
    rows = "".join(f"{line} \\\\\n" for line in body)
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{f'{_line(table.title)}; {table.legend}'.translate(_LATEX)}}}\n"
        f"\\begin{{tabular}}{{{'l' * len(lines[0])}}}\n\\hline\n{head} \\\\\n\\hline\n"
        f"{rows}\\hline\n\\end{{tabular}}\n\\end{{table}}\n"
    )
