"""Rewrite the generated parts of the docs: ``make docs``; a test fails when they are stale."""

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"


def _project() -> dict[str, Any]:
    tool: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    return tool


def _layers() -> list[list[str]]:
    """Return the layers of every import contract that has some, the packages' own first."""
    contracts = _project()["importlinter"]["contracts"]
    return [
        [layer.replace(" : ", ", ").replace(" | ", " · ") for layer in contract["layers"]]
        for contract in contracts
        if contract["type"] == "layers"
    ]


def layers() -> str:
    """Return the packages' layers as a Mermaid diagram, top to bottom."""
    names = _layers()[0]
    nodes = [f'    L{index}["{name}"]' for index, name in enumerate(names)]
    arrows = [f"    L{index} --> L{index + 1}" for index in range(len(names) - 1)]
    return "\n".join(["```mermaid", "flowchart TD", *nodes, *arrows, "```"])


def inside() -> str:
    """Return the layers within each package as a list, top to bottom."""
    lines = []
    for names in _layers()[1:]:
        package = names[0].split(".")[0]
        lines.append(f"- `{package}`: " + " → ".join(names).replace(f"{package}.", ""))
    return "\n".join(lines)


def rooms() -> str:
    """Return every package with the first line of its docstring, as a table."""
    rows = ["| folder | what lives there |", "|---|---|"]
    for package in _project()["setuptools"]["packages"]:
        folder = package.replace(".", "/")
        tree = ast.parse((ROOT / folder / "__init__.py").read_text("utf-8"))
        line = (ast.get_docstring(tree) or "").splitlines()[0]
        rows.append(f"| `{folder}/` | {line.replace('``', '`').rstrip('.')} |")
    return "\n".join(rows)


def rendered(text: str) -> str:
    """Return a page with its generated parts made anew."""
    for part in (rooms, layers, inside):
        begin, end = f"<!-- generated: {part.__name__} -->", "<!-- end -->"
        text = re.sub(f"{begin}.*?{end}", f"{begin}\n{part()}\n{end}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    ARCHITECTURE.write_text(rendered(ARCHITECTURE.read_text("utf-8")), "utf-8")
    sys.stdout.write(f"{ARCHITECTURE.relative_to(ROOT)}\n")
