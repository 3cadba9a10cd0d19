"""``bench show``: show everything about one name."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.commands._options import plugin_option

if TYPE_CHECKING:
    from bench.core.config import Config

_NARROWEST, _WIDEST = 30, 100
"""Characters of a line, whatever the terminal's width."""

_HOW = {
    "sources": "source",
    "writers": "source.captions.options",
    "objectives": "objective",
    "evaluators": "evaluators.{}",
}
"""What the names of each kind's options begin with."""


@click.command()
@click.argument("name")
@plugin_option
def command(name: str, plugin: Path | None) -> None:
    """Show a task, preset, plug-in, figure or record by its name, and what its options mean.

    NAME is one of `bench list`, a run's id, a preset's file, or a task's place (a folder of images,
    hf:ORG/NAME@REVISION, wds:PATH), of which it is said what a run would assume.
    """
    from bench.core.errors import RequestError
    from bench.core.json_values import readable_json
    from bench.core.paths import Home
    from bench.core.terminal import escaped
    from bench.plugins.registry import load_plugin
    from bench.storage.run_folder import read_record

    if plugin is not None:
        load_plugin(plugin)
    home = Home.from_environment()
    record = read_record(home, name)
    if record is not None:
        click.echo(readable_json(record))
        return
    if (home.run(name) / "record.json").exists():
        raise RequestError(
            f"the record of run {name} is damaged or of another schema", "see `bench collect`"
        )
    click.echo(escaped("\n".join(_shown(name))))


def _shown(name: str) -> Iterator[str]:
    """Yield the lines about a name of any kind."""
    from bench.commands._kinds import KINDS, kind_of
    from bench.core.errors import unknown_name
    from bench.tasks import is_place

    kinds = [kind for kind in KINDS if name in kind_of(kind).names()]
    if not kinds and is_place(name):
        kinds = ["tasks"]
    if not kinds and name.endswith(".yaml"):
        kinds = ["presets"]
    if not kinds:
        raise unknown_name("name", name, {each for kind in KINDS for each in kind_of(kind).names()})
    for place, kind in enumerate(kinds):
        yield from [""] if place else []
        yield from _BY_KIND.get(kind, _plugin)(kind, name)


def _preset(_: str, name: str) -> Iterator[str]:
    from bench.planning import preset

    yield preset.text(name).rstrip()
    base = preset.extended_by(name)
    default = "has its default: `bench show train`, and of a source by its name"
    yield f"# What it does not set {f'is as in `bench show {base}`' if base else default}."


def _figure(kind: str, name: str) -> Iterator[str]:
    from bench.commands._kinds import kind_of

    yield from _paragraphs(f"figure {name}: {kind_of(kind).summary(name)}")
    yield f"  bench figure {name}"


def _model(kind: str, name: str) -> Iterator[str]:
    from bench.commands._kinds import kind_of

    yield from _paragraphs(f"model {name}: {kind_of(kind).summary(name)}")
    yield "  --set model=NAME, or where a filter or a generator names a model (docs/models.md)"


def _published(_: str, name: str) -> Iterator[str]:
    from bench.core.terminal import columns
    from results.published.tables import tables
    from results.tables.formats import written
    from results.tables.literature import published_sheet

    yield written([published_sheet(table) for table in tables(name)], "text", columns()).rstrip()


def _settings(_: str, name: str) -> Iterator[str]:
    import inspect

    from bench.core.specs import TrainSpec

    yield from _paragraphs(f"settings {name}: {inspect.getdoc(TrainSpec)}")
    yield from ["", f"options: --set {name}.NAME=VALUE", *_options(TrainSpec)]


def _plugin(kind: str, name: str) -> Iterator[str]:
    """Yield what a plug-in is, and each of its options."""
    from bench import plugins
    from bench.plugins.registries import options_type

    registry = getattr(plugins, kind)
    yield from _paragraphs(f"{registry.kind} {name}: {registry.documentation(name)}")
    options = list(_options(options_type(registry, name)))
    how = f"options: --set {_HOW[kind].format(name)}.NAME=VALUE"
    yield from ["", how, *options] if options else ["", "no options"]


def _options(kind: "type[Config]") -> Iterator[str]:
    """Yield the lines about each setting: its default, what it may be, and what it means."""
    from bench.core.described import described

    for setting in described(kind):
        given = "required" if setting.default is None else setting.default
        of = f"; of {', '.join(setting.within)}" if setting.within else ""
        yield from _wrapped(f"{setting.name} = {given}  ({setting.values}{of})", 2, 6)
        yield from _wrapped(setting.meaning, 6, 6)


def _paragraphs(text: str) -> Iterator[str]:
    """Yield a text's lines, those of plain paragraphs as long as they may be."""
    for place, paragraph in enumerate(text.split("\n\n")):
        yield from [""] if place else []
        is_plain = not any(line.startswith((" ", "-")) for line in paragraph.splitlines())
        yield from _wrapped(paragraph) if is_plain else paragraph.splitlines()


def _wrapped(text: str, first: int = 0, others: int = 0) -> list[str]:
    import textwrap

    from bench.core.terminal import columns

    return textwrap.wrap(
        text,
        min(max(columns(), _NARROWEST), _WIDEST),
        initial_indent=" " * first,
        subsequent_indent=" " * others,
        break_on_hyphens=False,
    )


def _task(_: str, name: str) -> Iterator[str]:
    """Yield a task as YAML, and as comments what it is and what is assumed of it."""
    import msgspec

    from bench.core.missing import MissingError
    from bench.plugins import tasks
    from bench.tasks import find_task

    declared = name in tasks.names()
    try:
        task = find_task(name)
        notes = task.notes()
    except MissingError as error:
        if not declared:
            raise
        # It is declared without its class names, which its data have.
        task, notes = tasks.get(name), [str(error)]
    yield from [f"# {tasks.summary(name)}"] if declared else []
    yield msgspec.yaml.encode(task).decode().rstrip()
    yield from (f"# {note}" for note in notes)


_BY_KIND = {
    **{
        "models": _model,
        "presets": _preset,
        "tasks": _task,
        "settings": _settings,
        "figures": _figure,
    },
    "published": _published,
}
