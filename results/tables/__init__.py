"""Tables of results, for a terminal, a page, a paper or another program."""

from results.tables.export import export, exported, render
from results.tables.scores import LEGEND, Table, readable, text

__all__ = ["LEGEND", "Table", "export", "exported", "readable", "render", "text"]
