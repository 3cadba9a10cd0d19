"""``bench list``: list the tasks, sources and other things that have names."""

from pathlib import Path

import click

from bench.commands._kinds import KINDS
from bench.commands._options import plugin_option


@click.command(name="list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@plugin_option
def command(kind: str | None, plugin: Path | None) -> None:
    """List names of one kind, each with what it is; without KIND, those of every kind.

    `bench show NAME` says more. In a pipe, each name has one line.
    """
    from bench.plugins.registry import load_plugin

    if plugin is not None:
        load_plugin(plugin)
    if kind is not None:
        click.echo("\n".join(_lines(kind)))
        return
    blocks = ["\n".join([each, *(f"  {line}" for line in _lines(each, 2))]) for each in KINDS]
    click.echo("\n\n".join(blocks))


def _lines(kind: str, indent: int = 0) -> list[str]:
    """Return a line for each name of a kind, and where lines are short those that go on with it."""
    import textwrap

    from bench.commands._kinds import kind_of
    from bench.core.errors import RequestError
    from bench.core.terminal import columns, escaped

    names, summary = kind_of(kind)
    width = max(map(len, names()), default=0) + 2
    room = max(columns(elsewhere=1000) - indent - width, 30)
    lines = []
    for name in names():
        try:
            text = escaped(summary(name))
        except RequestError as error:  # Another package's is broken; the others are not.
            text = str(error)
        first, *more = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
        lines.append(f"{escaped(name):<{width}}{first}".rstrip())
        lines += [f"{'':<{width}}{line}" for line in more]
    return lines
