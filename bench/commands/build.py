"""``bench build``: the stages of a source, or a few shards of them, without a run."""

from typing import Any

import click

from bench.commands._options import prepared, run_options


@click.command()
@run_options
@click.option("--shards", help="Only these shards of each stage, e.g. 3-7; all by default.")
def command(shards: str | None, **options: Any) -> None:  # noqa: ANN401
    """Make a source's images; any number of these may run at once, and share the shards."""
    from bench.collect import collect_images
    from bench.core.paths import Home
    from bench.core.progress import Progress
    from bench.core.work_selection import WorkSelection
    from bench.prepare import with_fingerprints
    from bench.storage.stage import UnfinishedError

    home = Home.from_environment()
    selection = WorkSelection(shards=_shards(shards) if shards else None)
    spec = with_fingerprints(prepared(**options), home)
    home.make_writable()
    try:
        images = collect_images(spec, home, Progress(), selection)
    except UnfinishedError as stage:
        click.echo(f"{stage}")
        return
    click.echo(f"{len(images)} images of {spec.source} for {spec.task}: {images.folder}")


def _shards(text: str) -> range:
    from bench.core.errors import RequestError

    first, _, last = text.partition("-")
    try:
        chosen = range(int(first), int(last or first) + 1)
    except ValueError:
        chosen = range(0)
    if not chosen or chosen.start < 0:
        raise RequestError(f"{text!r} names no shards", "write --shards 3 or --shards 3-7")
    return chosen
