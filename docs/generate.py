"""Rewrite the generated parts of the docs: ``make docs``; a test fails when they are stale."""

import ast
import sys
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

from docs.costs import embedding, generation, read_report
from docs.gpu_figures import defaults, figures
from docs.readme import demo, every_figure, pictures
from docs.readme import read as read_readme
from docs.task_tables import numbers, rights

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("architecture", "data", "gpu", "results", "scale")),
]
"""The pages that have generated parts."""


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
    made = {part.__name__: part for part in (rooms, layers, inside, numbers, rights, every_figure)}
    report = read_report()
    made |= {
        part.__name__: partial(part, report) for part in (embedding, generation, figures, defaults)
    }
    told = read_readme()
    made |= {part.__name__: partial(part, told) for part in (demo, pictures)}
    for name, part in made.items():
        begin, end = f"<!-- generated: {name} -->", "<!-- end -->"
        before, found, after = text.partition(begin)
        if found:
            text = f"{before}{begin}\n{part()}\n{end}{after.partition(end)[2]}"
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(rendered(page.read_text("utf-8")), "utf-8")
        sys.stdout.write(f"{page.relative_to(ROOT)}\n")
