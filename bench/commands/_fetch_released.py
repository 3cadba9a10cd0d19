"""What `bench fetch --model NAME --from FILE` does: keep a released file as a model's weights."""

from pathlib import Path

import click
from filelock import FileLock

from bench.core.errors import RequestError, unknown_name
from bench.core.model_names import RELEASED
from bench.core.paths import Home
from bench.core.terminal import escaped
from bench.core.undamaged_weights import check_undamaged


def keep(name: str, file: Path, home: Home) -> None:
    """Keep a released file; where it was kept before, say so.

    Raises:
        RequestError: If no released model is called so, the file is not its, another file was kept
            as this model before, or what was kept is damaged.
        BenchError: If what was written does not load.
    """
    from adapt.released import is_kept_from, keep_released

    if name not in RELEASED:
        raise unknown_name("model for --from", name, RELEASED)
    folder = home.weights_folder(name)
    lock = folder.with_name(f".{name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if not folder.is_dir():
            note = keep_released(RELEASED[name], file, folder)
            if note:
                click.echo(f"weights: {note}")
        elif not is_kept_from(file, folder):
            raise RequestError(
                f"{folder} was made of another file than {file}",
                "remove that folder, then the same command keeps this one",
            )
        else:
            check_undamaged(folder)
    lock.unlink(missing_ok=True)
    click.echo(f"model {name} is in {escaped(str(folder))}")
