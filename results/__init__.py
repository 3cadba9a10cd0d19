"""Results: records to database, tables, figures and report; works without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from results.loading import load

__all__ = ["load"]


def __getattr__(name: str) -> object:
    # Everything below imports this file; pandas and DuckDB wait until somebody asks.
    if name == "load":
        from results.loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
