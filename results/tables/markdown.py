"""Tables as Markdown."""

from results.tables.sheet import Sheet

_RULES = {"text": "---", "prose": "---", "right": "--:", "number": "--:"}


def as_markdown(sheet: Sheet) -> str:
    """Return a table below a heading; what names of users mean to Markdown is taken from them."""
    head = [_cell(name) for name in sheet.head]
    rules = [_RULES[kind] for kind in sheet.kinds]
    lines = [head, rules, *([_cell(cell) for cell in row] for row in sheet.rows)]
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    parts = [f"## {_cell(sheet.title)}\n" if sheet.title else "", rows, sheet.note]
    return "\n".join(filter(None, parts)).rstrip("\n") + "\n"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
