"""Settings for every objective of a study: each applies to the objectives that have it."""

from collections.abc import Iterable, Mapping, Sequence

from bench.core.config import paths
from bench.core.errors import RequestError, did_you_mean, unknown_name
from bench.core.json_values import Json
from bench.core.specs import RunSpec
from bench.plugins import objectives
from bench.plugins.registries import options_type

PREFIX = "objective."


def check_options(per_objective: Mapping[str, Json], where: str) -> None:
    """Make sure that objectives have the options that are set of them, whichever is used.

    Args:
        per_objective: Objective to the options that are set.
        where: What sets them.

    Raises:
        RequestError: If there is no such objective, or it has no such option.
    """
    for objective, options in per_objective.items():
        own = _options(objective)
        for name in options:
            if name not in own:
                raise unknown_name(f"option of {objective} in {where}:", name, own)


def fitting(objective: str, settings: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    """Return settings without the options that an objective has not.

    Args:
        objective: The objective's name.
        settings: Paths and values, of objectives and of all else.
    """
    own = _options(objective)
    return [(path, value) for path, value in settings if _option(path) in {"", *own}]


def check_objectives(
    per_objective: Mapping[str, Json],
    overrides: Sequence[tuple[str, object]],
    specs: Iterable[RunSpec],
    where: str,
) -> None:
    """Make sure that what a study sets of objectives is of some objective that it has.

    Args:
        per_objective: Objective to the settings of its runs.
        overrides: Paths and values, for all objectives that have them.
        specs: The study's runs.
        where: The study's file.

    Raises:
        RequestError: If an objective has no runs, an option is of none, or an objective's runs are
            given another objective.
    """
    used = {spec.objective for spec in specs}
    for name, settings in per_objective.items():
        if name not in used:
            raise unknown_name(f"objective in per_objective of {where}", name, used)
        if "objective" in settings:
            raise RequestError(
                f"{where}: per_objective.{name} names an objective", "write it in the grid"
            )
    known = {option for name in used for option in _options(name)}
    for path, _ in overrides:
        if _option(path) not in {"", *known}:
            raise RequestError(
                f"--set {path}: no objective of {where} has it",
                did_you_mean(_option(path), sorted(known)),
            )


def _options(objective: str) -> set[str]:
    return set(paths(options_type(objectives, objective)))


def _option(path: str) -> str:
    """Return which option of an objective a path is; nothing if it is none."""
    return path.removeprefix(PREFIX) if path.startswith(PREFIX) else ""
