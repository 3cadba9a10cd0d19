"""Published tables as sheets: printed as they were, with what to know about them."""

from collections.abc import Mapping

from results.published.tables import Paper, PublishedTable
from results.tables.sheet import Kind, Sheet
from results.wording import sentence

_LONG = 24
"""Characters from which on a text may take several lines."""


def published_sheet(table: PublishedTable) -> Sheet:
    """Return a published table; the numbers of a column have as many digits as any of it."""
    columns = [_column([row[at] for row in table.rows]) for at in range(len(table.columns))]
    heads = [(name, kind) for name, (kind, _) in zip(table.columns, columns, strict=True)]
    rows = zip(*(cells for _, cells in columns), strict=True)
    sheet = Sheet.of(table.title, heads, list(rows))
    note = "\n".join([sentence(f"from {table.where}"), *table.notes])
    return sheet._replace(note=note, label=table.name)


def _column(cells: list[str | float | int]) -> tuple[Kind, list[str]]:
    numbers = [cell for cell in cells if not isinstance(cell, str)]
    if not numbers:
        longest = max(len(str(cell)) for cell in cells)
        return "prose" if longest > _LONG else "text", [str(cell) for cell in cells]
    digits = max(len(str(number).partition(".")[2]) for number in numbers)
    return "number", [
        cell if isinstance(cell, str) else f"{cell:.{digits}f}" if cell else "0" for cell in cells
    ]


def listed(papers: Mapping[str, Paper]) -> Sheet:
    """Return what tables there are, by paper."""
    rows = [
        [name, table.name, table.title] for name, paper in papers.items() for table in paper.tables
    ]
    heads: list[tuple[str, Kind]] = [("paper", "text"), ("table", "text"), ("what", "prose")]
    return Sheet.of("Published tables, by paper", heads, rows)
