"""Options that several commands share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from bench.core.paths import Home
    from bench.core.specs import RunSpec

F = TypeVar("F", bound=Callable[..., Any])

task_option = click.option(
    "--task", required=True, help="A name, a folder, hf:ORG/NAME@REVISION or wds:PATH."
)
preset_option = click.option(
    "--preset", default="paper", show_default=True, help="paper, mini or a YAML file."
)
plugin_option = click.option(
    "--plugin", type=click.Path(path_type=Path), help="Python file that registers a plug-in."
)

choice_option = click.option(
    "--settings",
    type=click.Choice(["once", "per-n"]),
    default="once",
    show_default=True,
    help="Choose a source's setting once for all n, or at each n; on validation data, never per "
    "seed.",
)


retry_option = click.option(
    "--retry-failed",
    is_flag=True,
    help="Download again what failed for a reason that may pass: no answer, 5xx, 429, a refused "
    "address.",
)


def settings_option(example: str) -> Callable[[F], F]:
    """Return the option that overrides settings of the preset."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help=f"Override a setting: {example}. May be repeated.",
    )


def run_options(command: F) -> F:
    """Add the options that describe one run."""
    return _with(
        command,
        click.option("--source", required=True, help="Image source (see bench list sources)."),
        task_option,
        click.option(
            "--n",
            default="all",
            show_default=True,
            help="Number of images: 500, 31.25k, 2.5M or all.",
        ),
        click.option(
            "--seed", default=0, show_default=True, help="Seed of the subset and the training."
        ),
        preset_option,
        click.option(
            "--objective",
            help="Training objective (see bench list objectives); its options are --set "
            "objective.NAME=VALUE.",
        ),
        settings_option("train.lr=1e-5"),
        click.option(
            "--allow-incomplete",
            is_flag=True,
            help="Go on if files of a pool cannot be read. Same as --set "
            "source.allow_incomplete=true.",
        ),
        plugin_option,
    )


def run_spec(  # noqa: PLR0913 (the command line's options)
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
    from bench.core.errors import RequestError
    from bench.core.size import parse_size
    from bench.planning.preset import resolve
    from bench.plugins.registry import load_plugin

    if plugin is not None:
        load_plugin(plugin)
    assignments = list(settings)
    if objective is not None:
        if any(setting.startswith("objective=") for setting in settings):
            raise RequestError(
                "--objective and --set objective=… both name the objective", "leave out one of them"
            )
        assignments.append(f"objective={objective}")
    if allow_incomplete:
        assignments.append("source.allow_incomplete=true")
    return resolve(
        preset, task=task, source=source, n=parse_size(n), seed=seed, settings=assignments
    )


def show_notes(specs: "Sequence[RunSpec]", home: "Home") -> None:
    """Say on standard error what is to be known of the runs' data, such as files not read."""
    from bench.runtime import distributed
    from bench.steps.prepare import notes

    if distributed.is_main_process():
        for note in notes(specs, home):
            click.echo(f"bench: note: {note}", err=True)


def executor_options(default: str) -> Callable[[F], F]:
    """Return a decorator that adds the options of where runs are executed."""
    executors = "debug (this process), local (worker processes) or slurm (jobs)"

    def add(command: F) -> F:
        return _with(
            command,
            click.option("--on", help=f"Executor: {executors}.  [default: {default}]"),
            click.option(
                "--profile",
                type=click.Path(path_type=Path),
                help="YAML file with the options of Slurm jobs (docs/slurm.md).",
            ),
            click.option(
                "--slurm",
                "slurm_settings",
                multiple=True,
                metavar="NAME=VALUE",
                help="Override an option of the profile: partition=gpu, run.time=12h. May be "
                "repeated.",
            ),
            click.option("--wait", is_flag=True, help="Wait until the Slurm jobs have ended."),
        )

    return add


def study_options(executor: str, parallel: str) -> Callable[[F], F]:
    """Return a decorator that adds the options of how a study is executed, with these defaults."""

    def add(command: F) -> F:
        command = _with(
            command,
            click.option(
                "--parallel",
                "--max-parallel",
                type=_count,
                metavar="N",
                help="Worker processes at a time, or Slurm jobs of a kind. auto: all Slurm jobs; "
                "locally one worker per GPU, or per core if all networks are small, else one.  "
                f"[default: {parallel}]",
            ),
            retry_option,
            click.option(
                "--keep-going/--fail-fast",
                default=None,
                help="Continue with the other runs after a run failed, or stop.  [default: "
                f"{'keep-going' if parallel == 'auto' else parallel}]",
            ),
        )
        return executor_options(executor)(command)

    return add


def _with(command: F, *options: Callable[[F], F]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def _count(text: str) -> int | str:
    """Return a number of processes, or ``auto``."""
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is neither a number above 0 nor auto.")
    return int(text)
