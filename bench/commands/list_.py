"""``bench list``: list the tasks, sources and other plug-ins."""

import click

KINDS = ("tasks", "sources", "writers", "objectives", "evaluators", "presets")


@click.command(name="list")
@click.argument("kind", type=click.Choice(KINDS))
def command(kind: str) -> None:
    """List all tasks, sources or other things of one kind."""
    from bench import plugins
    from bench.planning import preset

    names = preset.names() if kind == "presets" else getattr(plugins, kind).names()
    click.echo("\n".join(names))
