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
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]


def layers() -> str:
    """Return the import contract's layers as a Mermaid diagram, top to bottom."""
    contract = _project()["importlinter"]["contracts"][0]
    names = [layer.replace(" : ", ", ").replace(" | ", " · ") for layer in contract["layers"]]
    nodes = [f'    L{index}["{name}"]' for index, name in enumerate(names)]
    arrows = [f"    L{index} --> L{index + 1}" for index in range(len(names) - 1)]
    return "\n".join(["```mermaid", "flowchart TD", *nodes, *arrows, "```"])


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
    for part in (layers, rooms):
        begin, end = f"<!-- generated: {part.__name__} -->", "<!-- end -->"
        text = re.sub(f"{begin}.*?{end}", f"{begin}\n{part()}\n{end}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    ARCHITECTURE.write_text(rendered(ARCHITECTURE.read_text("utf-8")), "utf-8")
    sys.stdout.write(f"{ARCHITECTURE.relative_to(ROOT)}\n")
