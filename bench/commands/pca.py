"""``bench pca``: look at what a run's patches tell apart."""

from pathlib import Path

import click

from bench.commands._options import plugin_option


@click.command()
@click.argument("run")
@click.option("--class", "class_name", required=True, help="The class whose images are shown.")
@click.option(
    "--images", type=click.IntRange(1, 32), default=4, show_default=True, help="How many of them."
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A .png file."
)
@click.option(
    "--size",
    type=click.IntRange(1, 4096),
    help="Side in pixels at which the model is given the images, a multiple of its patches: more "
    "make a finer grid.  [default: the model's own]",
)
@click.option("--json", "as_json", is_flag=True, help="Print what is shown as one JSON object.")
@plugin_option
def command(  # noqa: PLR0913 (the command line's options)
    run: str,
    class_name: str,
    images: int,
    out: Path,
    size: int | None,
    *,
    as_json: bool,
    plugin: Path | None,
) -> None:
    """Show the patches of images of one class in the colours of their principal components.

    RUN is a run's id or its beginning. The images are the first of the class in the validation
    split; the model is that of the epoch that validation data chose. The components are those of
    all patches of these images together; red, green and blue are the first, second and third, each
    from its least value to its greatest.
    """
    import json

    from bench.core.errors import RequestError
    from bench.core.files import atomic_file
    from bench.core.paths import Home
    from bench.core.terminal import escaped
    from bench.plugins.registry import load_plugin
    from bench.steps.patch_picture import patch_picture
    from bench.storage.run_folder import find_run, read_record

    if out.suffix.lower() != ".png":
        raise RequestError(f"the picture {out} is to be a PNG", "name a file that ends in .png")
    if plugin is not None:
        load_plugin(plugin)
    home = Home.from_environment()
    run_id = find_run(home, run)
    record = read_record(home, run_id)
    if record is None:
        raise RequestError(f"run {run_id} has no record that can be read", "see `bench status`")
    picture = patch_picture(record, home, class_name, images, size)
    with atomic_file(out) as temporary:
        picture.image.save(temporary, "PNG")
    facts = {"out": str(out), **picture.facts}
    shares = ", ".join(f"{share:.1%}" for share in facts["explained"])
    rows, columns = facts["grid"]
    click.echo(
        json.dumps(facts, ensure_ascii=False)
        if as_json
        else escaped(
            f"{out}: {images} images of {facts['class']}, {rows} by {columns} patches each; red, "
            f"green and blue hold {shares} of the variance"
        )
    )
