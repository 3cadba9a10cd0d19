"""Check that our top-level packages, whose names others use too, come from this checkout."""

from importlib.util import find_spec
from pathlib import Path

TOP_LEVEL = ("bench", "sources", "adapt", "eval", "results", "slurm")

CHECKOUT = Path(__file__).parents[2]


def foreign_packages() -> list[str]:
    """Return one line per top-level package that is not imported from this checkout."""
    lines = []
    for name in TOP_LEVEL:
        spec = find_spec(name)
        origin = Path(spec.origin).parent if spec and spec.origin else None
        if origin != CHECKOUT / name:
            lines.append(f"the package {name!r} comes from {origin}, not from {CHECKOUT / name}")
    return lines
