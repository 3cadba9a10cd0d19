"""The output of `bench sweep --dry-run`: a study's runs and the forecast of their cost."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from bench.core.json_values import Json
    from bench.core.paths import Home
    from bench.core.specs import RunSpec
    from bench.planning.forecast import Amount, Forecast
    from bench.steps.prepare import Prepared


class _Line(NamedTuple):
    """A run as the plan shows it."""

    run_id: str | None
    """None where something is absent on which it depends."""
    status: str
    spec: "RunSpec"
    settings: dict[str, object]


def show_dry_run(
    runs: "Sequence[Prepared]", preset: str, home: "Home", *, skip_missing: bool, as_json: bool
) -> None:
    """Print a study's runs, what they change of its preset, and what the unfinished will cost.

    Args:
        runs: The runs.
        preset: The study's preset.
        home: Where they are kept.
        skip_missing: Whether runs that lack something are left out.
        as_json: Whether to print one JSON object.
    """
    import msgspec

    from bench.commands._lacking import lacking
    from bench.planning.changes import as_lines, changes
    from bench.planning.forecast import forecast
    from bench.storage.run_folder import summaries

    records = summaries(home)
    planned = [run.spec for run in runs if not (run.absences and skip_missing)]
    plan = forecast({spec.run_id: spec for spec in planned}, records, home)
    lines = _lines(runs, {run_id: run.state for run_id, run in records.items()}, skip_missing)
    absent = lacking(runs)
    changed = changes([run.spec for run in runs], preset)
    if as_json:
        output = {
            "runs": [_fields(line) for line in lines],
            "changes": changed,
            "missing": [each.fields for each in absent],
            "forecast": plan,
        }
        click.echo(msgspec.json.encode(output).decode())
        return
    missing = [f"{'missing':<13} {each.line}" for each in absent]
    sources = {run.spec.source for run in runs} - {"none"}
    notes = [f"{'changed':<13} {line}" for line in as_lines(changed, sources)]
    below = [_counts(lines, plan), *notes, *_costs(plan), *missing]
    click.echo("\n".join([*_table(lines), "", *below]))


def _lines(
    runs: "Sequence[Prepared]", states: Mapping[str, str], skip_missing: bool
) -> list[_Line]:
    from bench.planning.differences import differences

    lacks = "left out" if skip_missing else "missing"
    lines = []
    for run, settings in zip(runs, differences([run.spec for run in runs]), strict=True):
        # Without its fingerprints a run has no id yet.
        run_id = None if run.absences else run.spec.run_id
        status = states.get(run_id, "to do") if run_id else lacks
        lines.append(_Line(run_id, status, run.spec, settings))
    return lines


def _fields(line: _Line) -> "Json":
    axes = {name: getattr(line.spec, name) for name in ("task", "source", "n", "seed")}
    return {"run_id": line.run_id, "status": line.status, **axes, "settings": line.settings}


def _table(runs: Sequence[_Line]) -> list[str]:
    """Return a line per run, in columns."""
    from bench.core.size import format_size

    size = cache(format_size)
    # Runs share their settings objects, and a study may have 100,000 of them.
    texts = {
        id(settings): " ".join(f"{name}={value}" for name, value in settings.items())
        for settings in {id(run.settings): run.settings for run in runs}.values()
    }
    lines = [
        (
            *(run_id or "-", status, spec.task, spec.source),
            *(f"n={size(spec.n)}", f"seed={spec.seed}", texts[id(settings)]),
        )
        for run_id, status, spec, settings in runs
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _counts(runs: Sequence[_Line], plan: "Forecast") -> str:
    """Return the line that says how many runs there are, of each status."""
    done = f"{plan.done} done"
    to_do = plan.runs - plan.done - plan.too_few_images
    others = Counter(run.status for run in runs)
    missing = f", {others['missing']} missing something" if others["missing"] else ""
    parts = [f"{to_do} to do ({plan.failed} failed before{missing})", done]
    if plan.too_few_images:
        parts.append(f"{plan.too_few_images} with too few images")
    if others["left out"]:
        parts.append(f"{others['left out']} left out")
    return f"{len(runs)} runs: {', '.join(parts)}"


def _costs(plan: "Forecast") -> list[str]:
    from bench.core.size import format_size

    if plan.runs == plan.done + plan.too_few_images:
        return []
    lines = []
    at_least = _at_least(plan.trained_at_least)
    lines.append(f"train on      {at_least}{plan.trained:,} images, n times epochs")
    for images in plan.images:
        at_least = _at_least(images.at_least and bool(images.images))
        count = format_size(images.images) if images.images else "an unknown number of"
        lines.append(f"make once     {at_least}{count} images of {images.source} for {images.task}")
    if not plan.hours:
        lines.append("time          unknown: no run of this home has finished")
    for device, hours in plan.hours.items():
        if device.startswith("CPU"):
            lines += _amount("CPU time", hours, _duration, f" on {device}")
        else:
            lines += _amount("GPU time", hours, _duration, f" on {device}, all GPUs together")
    lines += _amount("disk", plan.disk_bytes, _bytes)
    return lines + _amount("files", plan.files, "{:,.0f}".format)


def _at_least(applies: bool) -> str:
    return "at least " if applies else ""


def _amount(
    name: str, amount: "Amount", as_text: Callable[[float], str], where: str = ""
) -> list[str]:
    """Return the line of one amount, and below it the parts that are not in it."""
    if not amount.measurements:
        return [f"{name:<13} unknown: nothing like it was measured in this home"]
    low, expected, high = (as_text(value) for value in (amount.low, amount.expected, amount.high))
    count = "once or more" if amount.measurements == 1 else f"{amount.measurements} times or more"
    at_least = _at_least(bool(amount.unknown))
    lines = [
        f"{name:<13} {at_least}{expected} (low {low}, high {high}){where}; "
        f"each part measured {count}"
    ]
    if amount.unknown:
        lines.append(f"{'':<13} unknown, or in part: {'; '.join(_grouped(amount.unknown))}")
    return lines


def _grouped(labels: Sequence[str]) -> list[str]:
    """Return ``WORK: THIS`` and ``WORK: THAT`` as ``WORK (THIS, THAT)``."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        work, _, subject = label.partition(": ")
        groups.setdefault(work, []).append(subject)
    return [f"{work} ({', '.join(subjects)})" for work, subjects in groups.items()]


def _duration(hours: float) -> str:
    from bench.core.duration import format_duration

    # Clusters count hours, however many they are.
    return format_duration(3600 * hours, longest="h")


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"
