"""``bench fetch``: download models, tasks and pools; no other command does."""

from pathlib import Path

import click

from bench.core.model_names import FETCHED, FETCHED_POOLS, HOW_TO_NAME, RELEASED


@click.command()
@click.option("--model", help=f"{', '.join((*FETCHED, *RELEASED, *HOW_TO_NAME))}.")
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path),
    help=f"The file that the authors of {' or '.join(RELEASED)} released.",
)
@click.option("--task", help="A published task, such as aircraft, or hf:ORG/NAME@REVISION.")
@click.option("--pool", help=f"{', '.join(FETCHED_POOLS)} or ORG/NAME@REVISION of a data set.")
@click.option(
    "--study",
    type=click.Path(path_type=Path),
    help="A study's YAML file: all that its runs need and that can be fetched.",
)
def command(
    model: str | None, file: Path | None, task: str | None, pool: str | None, study: Path | None
) -> None:
    """Download a model's weights, a task's images, which are then checked, or a pool's files.

    An interrupted download is continued by the same command. With --from, nothing is downloaded: a
    file that is here is kept as the model's weights.
    """
    from bench.commands._fetch import fetch, fetch_study
    from bench.core.errors import RequestError
    from bench.core.missing import Fetchable
    from bench.core.paths import Home
    from bench.runtime.hub import fetching

    home = Home.from_environment()
    if file is not None:
        from bench.commands._fetch_released import keep

        if model is None or task or pool or study:
            raise RequestError(
                "--from is the file of one model", "give --model NAME --from FILE, and nothing else"
            )
        keep(model, file, home)
        return
    asked = {"model": model, "task": task, "pool": pool}
    wanted = [Fetchable(kind, name) for kind, name in asked.items() if name]  # type: ignore[arg-type]
    if not wanted and not study:
        raise RequestError(
            "nothing to fetch", "give --model NAME, --task NAME, --pool NAME or --study FILE"
        )
    with fetching():
        fetch(wanted, home)
        if study:
            fetch_study(study, home)
