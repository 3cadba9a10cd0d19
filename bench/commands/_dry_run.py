"""The output of `bench sweep --dry-run`: a study's runs and the forecast of their cost."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bench.core.json_values import Json
    from bench.core.paths import Home
    from bench.core.specs import RunSpec
    from bench.planning.forecast import Amount, Forecast


def show_dry_run(specs: "Sequence[RunSpec]", home: "Home", *, as_json: bool) -> None:
    """Print a study's runs, their states, and what the unfinished ones will cost."""
    import msgspec

    from bench.planning.differences import differences
    from bench.planning.forecast import forecast
    from bench.storage.run_folder import summaries

    by_id = {spec.run_id: spec for spec in specs}
    records = summaries(home)
    plan = forecast(by_id, records, home)
    runs = [
        (run_id, records[run_id].state if run_id in records else "to do", spec, settings)
        for (run_id, spec), settings in zip(by_id.items(), differences(specs), strict=True)
    ]
    if as_json:
        output = {"runs": [_fields(*run) for run in runs], "forecast": plan}
        click.echo(msgspec.json.encode(output).decode())
        return
    click.echo("\n".join([*_table(runs), "", *_summary(plan)]))


def _fields(run_id: str, status: str, spec: "RunSpec", settings: dict[str, object]) -> "Json":
    axes = {name: getattr(spec, name) for name in ("task", "source", "n", "seed")}
    return {"run_id": run_id, "status": status, **axes, "settings": settings}


def _table(runs: "Sequence[tuple[str, str, RunSpec, dict[str, object]]]") -> list[str]:
    """Return a line per run, in columns."""
    from bench.core.size import format_size

    size = cache(format_size)
    # Runs share their settings objects, and a study may have 100,000 of them.
    texts = {
        id(settings): " ".join(f"{name}={value}" for name, value in settings.items())
        for settings in {id(run[3]): run[3] for run in runs}.values()
    }
    lines = [
        (
            *(run_id, status, spec.task, spec.source),
            *(f"n={size(spec.n)}", f"seed={spec.seed}", texts[id(settings)]),
        )
        for run_id, status, spec, settings in runs
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _summary(plan: "Forecast") -> list[str]:
    from bench.core.size import format_size

    to_do = plan.runs - plan.done - plan.too_few_images
    lines = [f"{plan.runs} runs: {to_do} to do ({plan.failed} failed before), {plan.done} done"]
    if plan.too_few_images:
        lines[0] += f", {plan.too_few_images} with too few images"
    if not to_do:
        return lines
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
