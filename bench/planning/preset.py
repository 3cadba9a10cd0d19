"""Presets: the settings of a run that the command line does not give.

A preset is a YAML file (``bench/presets/NAME.yaml`` or a path). With ``extends: OTHER`` it says
only what is not as in the other. The command line's ``--set`` assignments override it, every
default is filled in, and the result is a `RunSpec`.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.core.config import Config, assign, laid_over, parse_assignment, parse_config, paths
from bench.core.errors import RequestError, unknown_name
from bench.core.json_values import Json
from bench.core.memo import memo
from bench.core.specs import RunSpec, TrainSpec
from bench.core.yaml_files import read_yaml
from bench.planning.extended import EXTENDS, extended
from bench.planning.objective_settings import check_options
from bench.planning.source_settings import with_common
from bench.plugins import evaluators, full_options, objectives, sources, tasks
from bench.plugins.registries import options_type
from bench.tasks import check_folder, is_place

_FOLDER = Path(__file__).parents[1] / "presets"


class Preset(Config, frozen=True, kw_only=True):
    """Settings for everything that a run needs."""

    name: str
    description: str
    tasks: dict[str, str]
    """Short name to task."""
    model: str
    objective: str = "ce"
    order: str = "random"
    train: Json = {}
    evaluators: dict[str, Json]
    sources: dict[str, Json]
    """Source to options."""
    objectives: dict[str, Json] = {}
    """Objective to the options that are not its defaults."""

    def task(self, name: str) -> str:
        """Return the full name of a task."""
        return self.tasks.get(name, name)


def names() -> list[str]:
    """Return the names of the built-in presets."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def text(name: str) -> str:
    """Return the file of a preset, its comments included; raises as `load` does."""
    load(name)
    return _file(name).read_text("utf-8")


def extended_by(name: str) -> str | None:
    """Return which preset another extends, if it does; raises as `load` does."""
    extends: str | None = _content(name).get(EXTENDS)
    return extends


@memo
def load(name: str) -> Preset:
    """Return a preset by name or by path.

    Raises:
        RequestError: If there is no such preset, or it is malformed.
    """
    return parse_config(Preset, {"name": name, **extended(name, _content)}, f"the preset {name}")


def _content(name: str) -> Json:
    """Return what a preset's file says."""
    return read_yaml(_file(name))


def _file(name: str) -> Path:
    """Return the file of a preset, given its name or path."""
    path = _FOLDER / f"{name}.yaml" if name in names() else Path(name)
    if path.suffix != ".yaml" or not path.is_file():
        raise unknown_name("preset", name, names())
    return path


def resolve(  # noqa: PLR0913 (what a run is, and two ways to change it)
    preset_name: str,
    *,
    task: str,
    source: str,
    n: int | None,
    seed: int = 0,
    settings: Json | Iterable[str | tuple[str, object]] = (),
    common: Json | None = None,
) -> RunSpec:
    """Return the complete specification of one run.

    Args:
        preset_name: The preset's name or path.
        task: The task's name, short name or path.
        source: The source's name.
        n: Images to train on; None for all.
        seed: The run's seed.
        settings: Assignments such as ``train.lr=1e-5``, ``source.filter.tau=0.2`` or
            ``objective.temperature=0.1``, as texts, as paths and values, or as a mapping of these.
            Later ones win. A mapping is laid over the preset's, name by name
            (`bench.core.config.laid_over`); an evaluator set to null is left out.
        common: Path below ``source`` to value, for the source and its parts if they have it.

    Raises:
        RequestError: If a name or a setting is unknown, or a value does not fit.
    """
    preset = load(preset_name)
    _check_objectives(preset_name)
    given = assignments(settings)
    objective = objective_name(preset, given)
    values = _values(preset, source, objective, given)
    train = parse_config(TrainSpec, values["train"], "train")
    _check_train(train)
    chosen = _evaluators(values["evaluators"])
    if train.select_by not in chosen:
        unknown = unknown_name("evaluator to select by", train.select_by, chosen)
        raise RequestError(unknown.what, f"set train.select_by to {' or '.join(chosen)}")
    spec = {
        "preset": preset.name,
        "task": _task(preset, task),
        "source": source,
        "options": source_options(preset, source, values["source"], common=common or {}),
        "n": 0 if source == "none" else n,
        "seed": seed,
        "order": values["order"],
        "model": values["model"],
        "objective": objective,
        "objective_options": full_options(objectives, objective, values["objective"]),
        "train": msgspec.to_builtins(train),
        "evaluators": chosen,
    }
    return parse_config(RunSpec, spec, "the run")


@memo
def _check_objectives(name: str) -> None:
    """Make sure that a preset's objectives have their options; `load` does not import them."""
    check_options(load(name).objectives, f"the preset {name}")


def _task(preset: Preset, name: str) -> str:
    """Return the full name of a task, which exists."""
    full = preset.task(name)
    if not full.strip() or (full not in tasks.names() and not is_place(full)):
        check_folder(full)
        raise unknown_name("task", name, {*tasks.names(), *preset.tasks})
    return full


def assignments(settings: Json | Iterable[str | tuple[str, object]]) -> list[tuple[str, object]]:
    """Return settings, given in any of the ways that `resolve` takes, as paths and values."""
    pairs = settings.items() if isinstance(settings, dict) else settings
    return [parse_assignment(pair) if isinstance(pair, str) else pair for pair in pairs]


def objective_name(preset: Preset, settings: Iterable[tuple[str, object]]) -> str:
    """Return the objective that settings name, else the preset's.

    Raises:
        RequestError: If there is none of that name.
    """
    name = {"objective": preset.objective, **dict(settings)}["objective"]
    if not isinstance(name, str):
        raise RequestError(
            f"objective={name!r} is not a name", "write objective=NAME, and objective.OPTION=VALUE"
        )
    objectives.get(name)
    return name


def _values(
    preset: Preset, source: str, objective: str, settings: Iterable[tuple[str, object]]
) -> Json:
    """Return the preset's values for a source and an objective, overridden by the settings."""
    values: Json = {
        "model": preset.model,
        "objective": dict(preset.objectives.get(objective, {})),
        "order": preset.order,
        "train": dict(preset.train),
        "evaluators": dict(preset.evaluators),
        "source": dict(preset.sources.get(source, {})),
    }
    types = {
        "train": TrainSpec,
        "source": options_type(sources, source),
        "objective": options_type(objectives, objective),
    }
    for path, value in settings:
        first, *rest = path.split(".")
        if first not in values:
            raise unknown_name("setting", first, values)
        if path == "objective":
            continue  # Its name, which says which options there are.
        if not rest:
            values[first] = laid_over(types.get(first), values[first], value)
        elif isinstance(values[first], dict):
            assign(values[first], rest, value, types.get(first))
        else:
            raise RequestError(f"{first} has no settings within it", f"write {first}=…")
    return values


def _check_train(train: TrainSpec) -> None:
    """Make sure that the settings of a training fit each other."""
    if train.micro_batch is not None and train.micro_batch > train.batch_size:
        raise RequestError("train.micro_batch is larger than train.batch_size")
    if train.steps is not None and not 1 <= train.epochs <= train.steps:
        raise RequestError(
            f"train.steps={train.steps} cannot be cut into {train.epochs} epochs",
            f"set train.epochs to a number from 1 to {train.steps}",
        )
    if train.init == "scratch" and train.freeze_tower:
        raise RequestError(
            "train.freeze_tower would keep the tower that train.init=scratch leaves untrained",
            "leave one of them out",
        )
    if train.drop_path and train.freeze_tower:
        raise RequestError(
            f"train.drop_path={train.drop_path} is for a tower that is trained, and "
            "train.freeze_tower=true trains none",
            "leave one of them out",
        )
    if train.init == "scratch" and train.head_init == "text":
        raise RequestError(
            "train.head_init=text takes the text tower's weights; train.init=scratch takes none",
            "leave train.head_init out; it is random then",
        )


def _evaluators(values: object) -> dict[str, Json]:
    if not isinstance(values, dict):
        raise RequestError(f"evaluators: {values!r} is not a mapping of evaluators to options")
    return {
        name: full_options(evaluators, name, options)
        for name, options in values.items()
        if options is not None
    }


def source_options(
    preset: Preset, source: str, given: Json, within: tuple[str, ...] = (), *, common: Json
) -> Json:
    """Return a source's options with every default filled in, its parts' options included.

    Args:
        preset: The preset, for the parts' options that are not given.
        source: The source's name.
        given: The options that are given.
        within: The sources that it is a part of.
        common: Path to value, for the source and its parts if they have it.

    Raises:
        RequestError: If options do not fit, or a source is a part of itself.
    """
    within = (*within, source)
    _check_parts(source, given)
    if isinstance(given, dict):
        given = with_common(options_type(sources, source), given, common)
    options = full_options(sources, source, given)
    of = [options["of"]] if "of" in options else []
    for part in (*options.get("parts", {}), *of):
        if part in within:
            raise RequestError(f"{part!r} cannot be a part of itself")
        # A source made of sources carries their options, so that its hash covers them.
        usual, own = preset.sources.get(part, {}), options["options"].get(part, {})
        inner = laid_over(options_type(sources, part), usual, own)
        options["options"][part] = source_options(preset, part, inner, within, common=common)
    return dict(options)


def _check_parts(source: str, given: object) -> None:
    """Refuse options of a part that stand where the part's name belongs: nobody would read them."""
    fields = set(paths(options_type(sources, source)))
    options = given.get("options") if isinstance(given, dict) and fields & {"of", "parts"} else None
    for name in options if isinstance(options, dict) else ():
        if name not in sources.names():
            raise RequestError(
                f"source.options.{name}: {name!r} is not a source",
                f"write source.options.SOURCE.{name}",
            )
