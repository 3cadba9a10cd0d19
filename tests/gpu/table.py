"""The report as a table of plain text, or of Markdown."""

from collections.abc import Iterator
from typing import Any

Line = dict[str, Any]


def table(report: Line) -> str:
    """Return the report, a line for each check and figure."""
    lines = [heading(report)]
    for name, part in report["parts"].items():
        state = part["failure"] or ("passed" if part["passed"] else "NOT passed")
        lines += ["", f"{name}: {state}, {part['seconds']:.0f} s of {part['budget']}"]
        for what, value, remark in rows(part):
            lines.append(f"  {what:<58} {value:>22}  {remark}".rstrip())
    return "\n".join(lines)


def heading(report: Line) -> str:
    """Return the card, the driver, torch and the commit."""
    machines = [line for part in report["parts"].values() for line in part["results"][:1]]
    unknown: Line = {"device": "unknown", "packages": {}, "cores": 0}
    machine = machines[0] if machines else unknown
    torch = machine["packages"].get("torch")
    driver = f", driver {report['driver']}" if report["driver"] else ""
    tiny = ", smallest sizes" if report["tiny"] else ""
    commit = report["commit"] or "unknown"
    return (
        f"{machine['device']}, {machine['cores']} cores{driver}, torch {torch}, "
        f"commit {commit}, {report['date']}{tiny}"
    )


def rows(part: Line) -> Iterator[tuple[str, str, str]]:
    """Yield what, its value, and a remark, for each result of a part."""
    for line in part["results"]:
        match line["kind"]:
            case "Check":
                verdict = "holds" if line["holds"] else "DOES NOT HOLD"
                yield line["name"], f"{line['value']:.3g}", f"{verdict}: at most {line['limit']:g}"
            case "Figure":
                yield line["name"], f"{number(line['median'])} {line['unit']}", _remark(line)
            case "Note":
                yield line["text"], "", ""


def _remark(line: Line) -> str:
    values = line["values"]
    spread = f"{number(min(values))} to {number(max(values))}"
    if line["ratio"] is None:
        return spread
    goal = f", goal {line['goal']:g}" if line["goal"] else ""
    return f"{spread}; {line['ratio']:.2f} of {line['of']}{goal}"


def number(value: float) -> str:
    """Return a number with three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
