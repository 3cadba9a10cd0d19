"""Sheets as the bytes of whatever reads them."""

from collections import Counter
from collections.abc import Callable, Sequence

from bench.core.errors import RequestError
from results.tables.latex import HEAD, as_latex
from results.tables.markdown import as_markdown
from results.tables.sheet import Sheet, as_csv
from results.tables.terminal import as_text


def written(sheets: Sequence[Sheet], format_: str, width: int) -> str:
    """Return sheets as ``text`` of at most so many columns, ``md``, ``latex`` or ``csv``.

    Raises:
        RequestError: If several should be one of ``csv``: their columns differ.
    """
    return _WRITERS[format_](sheets, width)


def as_latex_file(sheets: Sequence[Sheet]) -> str:
    """Return sheets as one file for TeX, in which no two have one label."""
    seen: Counter[str] = Counter()
    tables = []
    for sheet in sheets:
        seen[sheet.label] += 1
        again = f"-{seen[sheet.label]}" if seen[sheet.label] > 1 and sheet.label else ""
        tables.append(as_latex(sheet._replace(label=f"{sheet.label}{again}")))
    return "\n".join([HEAD, *tables])


def as_markdown_file(sheets: Sequence[Sheet]) -> str:
    """Return sheets as one file of Markdown."""
    return "\n".join(map(as_markdown, sheets))


def _as_csv(sheets: Sequence[Sheet]) -> str:
    if len(sheets) > 1:
        names = ", ".join(sheet.label for sheet in sheets)
        raise RequestError("csv holds one table", f"ask for one of {names}")
    return as_csv(sheets[0])


_WRITERS: dict[str, Callable[[Sequence[Sheet], int], str]] = {
    "text": lambda sheets, width: "\n\n".join(as_text(one, width) for one in sheets) + "\n",
    "md": lambda sheets, _: as_markdown_file(sheets),
    "latex": lambda sheets, _: as_latex_file(sheets),
    "csv": lambda sheets, _: _as_csv(sheets),
}
