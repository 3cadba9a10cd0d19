"""``bench miniworld``: train, check and inspect the miniature world."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.core.command_groups import Group

if TYPE_CHECKING:
    from bench.storage.image_set import ImageSet

DOMAINS = ("aircraft", "cars", "flowers")
DEVICES = ("cpu", "cuda")


@click.group(cls=Group)
def command() -> None:
    """Train, check and inspect the miniature world."""


@command.command()
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Working folder.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Output folder.")
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="cpu",
    show_default=True,
    help="Where to compute.",
)
def train(work: Path, out: Path, device: str) -> None:
    """Train its networks on its pool (about 90 minutes). Continues if it was interrupted."""
    from bench.miniworld.training.resumable import device_named
    from bench.miniworld.training.train import train as train_all

    train_all(work, out, device=device_named(device))
    click.echo(f"{out}")


@command.command()
@click.argument("domains", nargs=-1, type=click.Choice(DOMAINS))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Output folder for retrieval.md and retrieval.png.",
)
def truth(domains: tuple[str, ...], out: Path | None) -> None:
    """Print counts, precision and recall of retrieval (minutes). Only this world knows them."""
    from bench.core.paths import Home
    from bench.miniworld_checks.truth import retrieval_truth, truth_page, write_truth

    home = Home.from_environment()
    home.make_writable()
    rows = retrieval_truth(domains or DOMAINS, home)
    click.echo(truth_page(rows), nl=False)
    if out is not None:
        write_truth(rows, out)


@command.command()
@click.option(
    "--weights",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of weights.  [default: the shipped ones]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Output folder for gates.json, gates.md and the figures.",
)
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="cpu",
    show_default=True,
    help="Where to compute.",
)
def check(weights: Path | None, out: Path | None, device: str) -> None:
    """Measure what must hold of the world (minutes). Exits with 1 if a gate is missed."""
    from bench.core.errors import BenchError
    from bench.core.files import write_atomic
    from bench.core.json_values import readable_json
    from bench.core.paths import Home
    from bench.core.progress import Progress
    from bench.miniworld.training.resumable import device_named
    from bench.miniworld_checks.gates import judge_gates
    from bench.miniworld_checks.measure import measure
    from bench.miniworld_checks.page import gate_table, page
    from bench.miniworld_checks.plots import write_plots

    chosen = device_named(device)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # Fails before the work, not after it.
    figures = measure(weights, Home.from_environment(), Progress(), chosen)
    verdicts = judge_gates(figures)
    click.echo(gate_table(verdicts), nl=False)
    if out is not None:
        write_atomic(out / "gates.json", readable_json(figures))
        write_atomic(out / "gates.md", page(figures, verdicts).encode())
        write_plots(figures, out)
    if missed := [verdict.gate.name for verdict in verdicts if verdict.missed]:
        raise BenchError(
            f"{len(missed)} of {len(verdicts)} gates missed: {'; '.join(missed)}",
            "do not trust a study in this world: train longer, or change what the gate measures",
        )


@command.command()
@click.argument("domain", type=click.Choice(DOMAINS))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Output PNG file.")
@click.option("--each", default=8, show_default=True, help="Images per class and source.")
def sheet(domain: str, out: Path, each: int) -> None:
    """Save real, retrieved and synthetic images in one sheet, a class per row."""
    from bench.miniworld.contact_sheet import contact_sheet
    from bench.storage.image_set import read_image

    columns = {}
    for source, n in (("real", None), ("retrieved", None), ("synthetic", 256)):
        images = _images(domain, source, n, {})
        rows = images.select(None, 0, "balanced")
        places = ("shard", "offset", "size", "sha256")
        columns[source] = {
            name: [
                read_image(images.data, *place)
                for place in rows.filter(class_name=name).select(places).head(each).iter_rows()
            ]
            for name in images.manifest.counts
        }
    contact_sheet(columns).save(out)
    click.echo(f"{out}")


def _images(domain: str, source: str, n: int | None, settings: dict[str, object]) -> "ImageSet":
    from bench.core.paths import Home
    from bench.core.progress import Progress
    from bench.planning.preset import resolve
    from bench.steps.collect import collect_images

    home = Home.from_environment()
    home.make_writable()
    spec = resolve("mini", task=domain, source=source, n=n, settings=settings)
    return collect_images(spec, home, Progress())
