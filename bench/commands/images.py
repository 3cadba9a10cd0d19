"""``bench images``: image sets for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.core.command_groups import Group

if TYPE_CHECKING:
    from bench.exports.formats import Format

FORMATS = ("webdataset", "imagefolder", "parquet")


@click.group(cls=Group)
def command() -> None:
    """Hand image sets to other programs."""


@command.command()
@click.argument("images", metavar="SET")
@click.option("--format", "kind", type=click.Choice(FORMATS), required=True, help="The layout.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="A folder that does not exist."
)
@click.option(
    "--license",
    "licence",
    default="unknown",
    show_default=True,
    help="The images' licence, for the dataset card.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export(images: str, kind: "Format", out: Path, licence: str, *, as_json: bool) -> None:
    """Write images with labels, captions and where they are from, and a dataset card.

    SET is an image set (its folder, or that folder's name) or a run, whose images are those it was
    trained on.
    """
    import json

    from bench.core.paths import Home
    from bench.core.progress import Progress
    from bench.exports.export import export_images
    from bench.exports.found import find_images

    found = find_images(images, Home.from_environment())
    export_images(found, kind, out, licence, Progress())
    facts = {"out": str(out), "format": kind, "images": found.rows.height, "task": found.task}
    facts |= {"source": found.manifest.source, "content": found.manifest.content}
    click.echo(json.dumps(facts) if as_json else f"{out}: {found.rows.height:,} images")
