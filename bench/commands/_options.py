"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def run_options(command: F) -> F:
    """Add the options that describe one run."""
    options = (
        click.option(
            "--source", required=True, help="Where images come from (bench list sources)."
        ),
        click.option("--task", required=True, help="What to classify: a name, or a folder."),
        click.option(
            "--n", default="all", show_default=True, help="Images: 500, 31.25k, 2.5M, all."
        ),
        click.option("--seed", default=0, show_default=True, help="Seed of subset and training."),
        click.option("--preset", default="paper", show_default=True, help="paper, mini or a file."),
        click.option("--objective", help="What to minimise (bench list objectives)."),
        click.option(
            "--set", "settings", multiple=True, metavar="NAME=VALUE", help="train.lr=1e-5"
        ),
        click.option(
            "--allow-incomplete",
            is_flag=True,
            help="Short for --set source.allow_incomplete=true: some files of a pool may fail.",
        ),
        click.option("--plugin", type=click.Path(path_type=Path), help="A .py file of your own."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def prepared(  # noqa: PLR0913 (the command line's options)
    *,
    source: str,
    task: str,
    n: str,
    seed: int,
    preset: str,
    objective: str | None,
    settings: tuple[str, ...],
    allow_incomplete: bool,
    plugin: Path | None,
) -> Any:  # noqa: ANN401 (a RunSpec; naming its type would import it)
    """Return the complete spec of the run that the options describe."""
    from bench.core.size import parse_size
    from bench.planning.preset import resolve
    from bench.plugins.registry import load_plugin

    if plugin is not None:
        load_plugin(plugin)
    chosen = list(settings)
    if objective:
        chosen.append(f"objective={objective}")
    if allow_incomplete:
        chosen.append("source.allow_incomplete=true")
    return resolve(preset, task=task, source=source, n=parse_size(n), seed=seed, settings=chosen)


def where_options(usual: str) -> Callable[[F], F]:
    """Return what adds the options that say where runs are carried out."""
    ways = "debug (this process), local (processes), slurm (jobs)"
    options = (
        click.option("--on", help=f"{ways}.  [default: {usual}]"),
        click.option(
            "--profile",
            type=click.Path(path_type=Path),
            help="A YAML file that says what jobs ask Slurm for (docs/slurm.md).",
        ),
        click.option(
            "--slurm",
            "asked",
            multiple=True,
            metavar="NAME=VALUE",
            help="Laid over the profile: partition=gpu, run.time=12h.",
        ),
        click.option("--wait", is_flag=True, help="Follow Slurm's jobs to their end."),
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _count(text: str) -> int | str:
    """Return a number of processes, or ``auto``."""
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is neither a number above 0 nor auto.")
    return int(text)


def job_options(usual: str) -> Callable[[F], F]:
    """Return what adds the options that say how a study's runs are carried out."""
    options = (
        click.option(
            "--parallel",
            "--max-parallel",
            type=_count,
            metavar="N",
            help="Processes, or jobs of a kind, at a time. auto: one a GPU, else one a core if all "
            "networks are small, else one; with Slurm all jobs.  [default: auto]",
        ),
        click.option(
            "--keep-going/--fail-fast",
            default=None,
            help="Whether a failed run leaves the others be, as it does unless said.",
        ),
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return where_options(usual)(command)

    return add
