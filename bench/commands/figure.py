"""``bench figure``: figures for a paper, for slides, for a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from bench.commands._options import choice_option
from bench.commands._skipped import tell_skipped

ALL = "all"


@click.command()
@click.argument("name")
@click.option("--task", help="Of this task alone.")
@click.option("--preset", help="Of this preset alone.")
@click.option("--objective", help="Of this objective alone, with its options if it has several.")
@click.option(
    "--evaluator",
    "evaluators",
    multiple=True,
    help="By this evaluator alone. May be repeated: a panel each, in this order.",
)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="LABEL",
    help="An arm that is compared; give two. Labels are those of the report, such as retrieved.",
)
@click.option(
    "--for",
    "place",
    type=click.Choice(["paper", "slides", "report"]),
    default="paper",
    show_default=True,
    help="Where it is to stand, which decides widths and sizes of text: a paper's column is 3.25 "
    "inches wide.",
)
@click.option("--wide", is_flag=True, help="As wide as the page: 6.875 inches in a paper.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="figures",
    show_default=True,
    help="Folder of the files.",
)
@click.option(
    "--format",
    "formats",
    default="svg,pdf,png",
    show_default=True,
    help="Kinds of file, with commas. A text file with the caption is always beside them.",
)
@click.option("--class", "class_name", default="", help="The class whose images are shown.")
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Images of each arm, where images are shown.",
)
@click.option(
    "--price", type=click.FloatRange(min=0, min_open=True), help="Dollars per hour of a device."
)
@choice_option
def command(
    name: str,
    out: Path,
    formats: str,
    settings: Literal["once", "per-n"],
    **asked: Any,  # noqa: ANN401 (options of several types)
) -> int:
    """Draw a figure of every task, preset and objective that has results, and print its files.

    NAME is one of `bench list figures`, or all.
    """
    import tempfile

    from bench.commands._figures import draw_all, wanted_figures
    from bench.core.paths import Home
    from bench.core.terminal import escaped
    from results import figures
    from results.database import store

    draws = {each: figures.figure(each) for each in (figures.names() if name == ALL else [name])}
    kinds = _kinds(formats)
    home = Home.from_environment()
    with tempfile.TemporaryDirectory() as spare:
        collected = store.collect(home, settings, Path(spare))
        with collected.reading() as connection:
            drawing = draw_all(draws, wanted_figures(home, connection, **asked))
            for stem, drawn in drawing:
                for path in drawn.save(out / stem, kinds):
                    click.echo(escaped(str(path)))
    return tell_skipped(collected.skipped)


def _kinds(text: str) -> list[str]:
    """Return the formats that are listed, each once."""
    from bench.core.errors import unknown_name
    from results.drawing.drawn import FORMATS

    kinds = [kind.strip() for kind in text.split(",")]
    for kind in kinds:
        if kind not in FORMATS:
            raise unknown_name("format", kind, FORMATS)
    return list(dict.fromkeys(kinds))
