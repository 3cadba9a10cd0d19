"""``bench list``: list the tasks, sources and other plug-ins."""

import click

KINDS = ("tasks", "sources", "writers", "objectives", "evaluators", "presets")


@click.command(name="list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
def command(kind: str | None) -> None:
    """List all tasks, sources or other things of one kind; without KIND, those of every kind."""
    if kind is not None:
        click.echo("\n".join(_names(kind)))
        return
    for each in KINDS:
        click.echo(f"{each:<11} {', '.join(_names(each))}")


def _names(kind: str) -> list[str]:
    from bench import plugins
    from bench.planning import preset

    names: list[str] = preset.names() if kind == "presets" else getattr(plugins, kind).names()
    return names
