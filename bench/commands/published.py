"""``bench published``: numbers that papers printed."""

import click


@click.command()
@click.argument("name", required=False)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "md", "csv", "latex", "json"]),
    default="text",
    show_default=True,
    help="What to print it as.",
)
def command(name: str | None, format_: str) -> None:
    """Print a published table, with where it is from and what to know about it.

    NAME is a table, such as synclr-table6, or a paper, such as geng2024. Without it, list them all.
    Miniature results are never comparable with these.
    """
    from bench.core.json_values import readable_json
    from bench.core.terminal import columns
    from results.published.tables import papers, tables
    from results.tables.formats import written
    from results.tables.literature import listed, published_sheet
    from results.wording import WIDTH

    found = papers() if name is None else tables(name)
    if format_ == "json":
        click.echo(readable_json({"published": found}).decode(), nl=False)
        return
    sheets = [listed(papers())] if name is None else map(published_sheet, tables(name))
    click.echo(written(list(sheets), format_, columns(elsewhere=WIDTH)), nl=False)
