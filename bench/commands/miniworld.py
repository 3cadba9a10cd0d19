"""``bench miniworld``: make the embedded world's weights again, or measure them."""

from pathlib import Path

import click


@click.group()
def command() -> None:
    """Train, check or look at the miniature world."""


@command.command()
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder to work in.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for weights.")
def train(work: Path, out: Path) -> None:
    """Train CLIP and Stable Diffusion on the pool again (hours; continues when killed)."""
    from bench.miniworld.train import train as train_all

    train_all(work, out)
    click.echo(f"weights: {out}")
