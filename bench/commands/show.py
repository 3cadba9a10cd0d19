"""``bench show``: show everything about one name."""

from typing import Any

import click


@click.command()
@click.argument("name")
def command(name: str) -> None:
    """Show a task, preset, plug-in or record by its name.

    NAME is that of a task, preset, source, writer, objective or evaluator, a run's id, or a
    task's place (a folder of images, hf:ORG/NAME@REVISION, wds:PATH), of which it is said what a
    run would assume.
    """
    import inspect

    import msgspec

    from bench import plugins
    from bench.core.config import described
    from bench.core.errors import RequestError, unknown_name
    from bench.core.json_values import readable_json
    from bench.core.paths import Home
    from bench.planning import preset
    from bench.storage.run_folder import read_record
    from bench.tasks import is_place

    home = Home.from_environment()
    record = read_record(home, name)
    if record is not None:
        click.echo(readable_json(record))
        return
    if (home.run(name) / "record.json").exists():
        raise RequestError(
            f"the record of run {name} is damaged or of another schema", "see `bench collect`"
        )
    if name in preset.names():
        click.echo(msgspec.yaml.encode(preset.load(name)).decode().rstrip())
        return
    if name in plugins.tasks.names() or is_place(name):
        _show_task(name)
        return
    known = {*preset.names(), *plugins.tasks.names()}
    for registry in (plugins.sources, plugins.writers, plugins.objectives, plugins.evaluators):
        known |= set(registry.names())
        if name in registry.names():
            plugin: Any = registry.get(name)
            click.echo(f"{registry.kind} {name}: {inspect.getdoc(plugin)}")
            for line in list(described(plugin.Options)) or ["no options"]:
                click.echo(f"  {line}")
            return
    raise unknown_name("name", name, known)


def _show_task(name: str) -> None:
    import msgspec

    from bench import plugins
    from bench.core.missing import MissingError
    from bench.core.terminal import escaped
    from bench.tasks import find_task

    try:
        task = find_task(name)
        notes = task.notes()
    except MissingError as error:
        if name not in plugins.tasks.names():
            raise
        # It is declared without its class names, which its data have.
        task, notes = plugins.tasks.get(name), [str(error)]
    click.echo(msgspec.yaml.encode(task).decode().rstrip())
    click.echo("".join(f"# {escaped(note)}\n" for note in notes), nl=False)
