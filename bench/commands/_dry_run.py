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
        (run_id, records[run_id].status if run_id in records else "to do", spec, settings)
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
    text = {
        id(settings): " ".join(f"{name}={value}" for name, value in settings.items())
        for settings in {id(run[3]): run[3] for run in runs}.values()
    }
    lines = [
        (
            run_id,
            status,
            spec.task,
            spec.source,
            f"n={size(spec.n)}",
            f"seed={spec.seed}",
            text[id(settings)],
        )
        for run_id, status, spec, settings in runs
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _summary(plan: "Forecast") -> list[str]:
    from bench.core.size import format_size

    left = plan.runs - plan.done
    lines = [f"{plan.runs} runs: {left} to do ({plan.failed} failed before), {plan.done} done"]
    if not left:
        return lines
    taken = f"{_least(plan.trained_at_least)}{plan.trained:,}"
    lines.append(f"train on      {taken} images, n times epochs")
    for made in plan.images:
        count = format_size(made.images) if made.images else "an unknown number of"
        what = f"{count} images of {made.source} for {made.task}"
        lines.append(f"make once     {_least(made.at_least and bool(made.images))}{what}")
    if not plan.hours:
        lines.append("time          unknown: no finished run of this home has measured anything")
    for device, hours in plan.hours.items():
        on_cpu = device.startswith("CPU")
        together = "" if on_cpu else ", all GPUs together"
        what = "CPU time" if on_cpu else "GPU time"
        lines += _amount(what, hours, _duration, f" on {device}{together}")
    lines += _amount("disk", plan.disk_bytes, _bytes)
    return lines + _amount("files", plan.files, "{:,.0f}".format)


def _least(at_least: bool) -> str:
    return "at least " if at_least else ""


def _amount(name: str, amount: "Amount", spelt: Callable[[float], str], on: str = "") -> list[str]:
    """Return the line of one sum, and below it what is not in it."""
    if not amount.measurements:
        return [f"{name:<13} unknown: nothing like it was measured in this home"]
    low, expected, high = (spelt(value) for value in (amount.low, amount.expected, amount.high))
    often = "once or more" if amount.measurements == 1 else f"{amount.measurements} times or more"
    line = f"{name:<13} {_least(bool(amount.unknown))}{expected} (low {low}, high {high}){on}; "
    lines = [f"{line}each part measured {often}"]
    if amount.unknown:
        lines.append(f"{'':<13} unknown, or in part: {'; '.join(_grouped(amount.unknown))}")
    return lines


def _grouped(labels: Sequence[str]) -> list[str]:
    """Return ``WHAT: THIS`` and ``WHAT: THAT`` as ``WHAT (THIS, THAT)``."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        what, _, which = label.partition(": ")
        groups.setdefault(what, []).append(which)
    return [f"{what} ({', '.join(which)})" for what, which in groups.items()]


def _duration(hours: float) -> str:
    from bench.core.duration import format_duration

    # Hours are what clusters count and charge, however many they are.
    return format_duration(3600 * hours, longest="h")


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"
