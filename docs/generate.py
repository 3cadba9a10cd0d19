"""Rewrite the generated parts of the docs: ``make docs``; a test fails when they are stale."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- generated from the import contract -->\n", "<!-- end -->\n"


def diagram() -> str:
    """Return the import contract's layers as a Mermaid diagram, top to bottom."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = project["tool"]["importlinter"]["contracts"][0]
    layers = [layer.replace(" : ", ", ").replace(" | ", " · ") for layer in contract["layers"]]
    nodes = [f'    L{index}["{layer}"]' for index, layer in enumerate(layers)]
    arrows = [f"    L{index} --> L{index + 1}" for index in range(len(layers) - 1)]
    return "\n".join(["```mermaid", "flowchart TD", *nodes, *arrows, "```"]) + "\n"


def rendered(text: str) -> str:
    """Return a page with its generated part made anew."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + diagram() + END + rest.split(END)[1]


if __name__ == "__main__":
    ARCHITECTURE.write_text(rendered(ARCHITECTURE.read_text()))
    sys.stdout.write(f"{ARCHITECTURE.relative_to(ROOT)}\n")
