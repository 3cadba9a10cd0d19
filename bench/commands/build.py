"""``bench build``: build the stages of a source, or some of their shards, without a run."""

from typing import Any

import click

from bench.commands._options import retry_option, run_options, run_spec, show_notes


@click.command()
@run_options
@click.option("--shards", help="Build only these shards of each stage: 3 or 3-7.  [default: all]")
@retry_option
def command(*, shards: str | None, retry_failed: bool, **options: Any) -> None:  # noqa: ANN401
    """Build the images of a source. Processes that run at once share the shards."""
    from bench.core.paths import Home
    from bench.core.progress import Progress
    from bench.core.work_selection import WorkSelection
    from bench.steps import collect
    from bench.steps.check_images import check_images
    from bench.steps.prepare import with_fingerprints
    from bench.storage.stage import UnfinishedError

    home = Home.from_environment()
    selection = WorkSelection(shards=_shards(shards) if shards else None)
    spec = with_fingerprints(run_spec(**options), home, trains=False)
    show_notes([spec], home)
    home.make_writable()
    check_images([spec], home, Progress())
    if retry_failed:
        collect.retry_failed([spec], home, Progress())
    try:
        images = collect.collect_images(spec, home, Progress(), selection)
    except UnfinishedError as unfinished:
        click.echo(str(unfinished))
        return
    click.echo(f"{len(images)} images of {spec.source} for {spec.task}: {images.folder}")


def _shards(text: str) -> range:
    from bench.core.errors import RequestError

    first, _, last = text.partition("-")
    try:
        shards = range(int(first), int(last or first) + 1)
    except ValueError:
        shards = range(0)
    if not shards or shards.start < 0:
        raise RequestError(f"{text!r} names no shards", "write --shards 3 or --shards 3-7")
    return shards
