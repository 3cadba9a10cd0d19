"""``bench fetch``: download weights and benchmark data; no other command does."""

from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from fnmatch import fnmatch
from pathlib import Path

import click

from bench.core.paths import FETCHED

_FILES = ["*.json", "*.txt", "open_clip_model.safetensors", "*/diffusion_pytorch_model.safetensors"]
_FILES += ["text_encoder/model.safetensors"]
_CONFIG_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]
_PIPELINE_FILES = [*_CONFIG_FILES, "*/*.safetensors"]
# A publisher's own format, such as consolidated.safetensors, is the same weights again.
_MODEL_FILES = [*_CONFIG_FILES, "model*.safetensors", "open_clip_model.safetensors"]
_VARIANTS = ["*.fp16.*", "*.non_ema.*", "*.bf16.*"]
"""Further copies of the same weights."""

_TASKS = ("aircraft", "cars", "flowers")

_WHERE_ONLINE = "run the same command where there is a network; it continues"


@click.command()
@click.option("--model", help=f"{', '.join(FETCHED)} or ORG/NAME@REVISION.")
@click.option("--task", help="aircraft, flowers; cars, to check what you put there.")
def command(model: str | None, task: str | None) -> None:
    """Download a model's weights, or a task's images, which are then checked."""
    from bench.core.errors import RequestError
    from bench.core.paths import Home
    from bench.runtime.hub import fetching

    home = Home.from_environment()
    if not model and not task:
        raise RequestError("nothing to fetch", "give --model NAME or --task NAME")
    with fetching():
        if model:
            _fetch_model(model, home.weights / model)
        if task:
            _fetch_task(task, home.tasks / task)


def _fetch_model(name: str, folder: Path) -> None:
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    from bench.core.errors import BenchError, unknown_name
    from bench.core.paths import hub_id

    repository, revision = hub_id(name)
    if name in FETCHED:
        repository = FETCHED[name]
    elif repository is None or revision is None:
        raise unknown_name("model to fetch", name, [*FETCHED, "ORG/NAME@REVISION"])
    if folder.is_dir():
        click.echo(f"{folder} is already there")
        return
    # The final name means complete: an interrupted download continues under another one.
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        snapshot_download(
            repository,
            revision=revision,
            local_dir=partial,
            allow_patterns=_FILES if name in FETCHED else _files(repository, revision),
            ignore_patterns=_VARIANTS,
        )
        partial.rename(folder)
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        _require_place(error)
        raise BenchError(
            f"cannot fetch {repository}: {_first_line(error)}", _WHERE_ONLINE
        ) from error
    click.echo(f"{folder}")


def _files(repository: str, revision: str | None) -> list[str]:
    """Return the files to fetch of a diffusers pipeline, or of a model of one network.

    Raises:
        RequestError: If its weights are pickles only, which are never loaded.
    """
    from huggingface_hub import HfApi

    from bench.core.errors import RequestError

    names = HfApi().list_repo_files(repository, revision=revision)
    files = _PIPELINE_FILES if "model_index.json" in names else _MODEL_FILES
    weights = [name for name in names if name.endswith(".safetensors")]
    if not any(_fits(name, files) and not _fits(name, _VARIANTS) for name in weights):
        raise RequestError(
            f"{repository} has no weights as safetensors at {revision}",
            "choose a revision that has them: pickles are not loaded",
        )
    return files


def _fits(name: str, patterns: list[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _fetch_task(name: str, folder: Path) -> None:
    from bench.core.errors import unknown_name
    from bench.core.paths import Home
    from bench.tasks import find_task

    if name not in _TASKS:
        raise unknown_name("task to fetch", name, _TASKS)
    # Torchvision never fetches aircraft that have a folder, however little is in it.
    if name == "flowers" or (name == "aircraft" and not (folder / "fgvc-aircraft-2013b").exists()):
        _download_task(name, folder)
    # Cars are fetched by hand, which this says where they are not there.
    find_task(name).check(Home.from_environment())
    click.echo(f"{folder}")


def _download_task(name: str, folder: Path) -> None:
    import gzip
    import tarfile
    import zlib

    import torchvision

    from bench.core.errors import BenchError

    kinds = {
        "aircraft": torchvision.datasets.FGVCAircraft,
        "flowers": torchvision.datasets.Flowers102,
    }
    try:
        for split in ("train", "val", "test"):
            kinds[name](str(folder), split=split, download=True)
    except (EOFError, gzip.BadGzipFile, tarfile.TarError, zlib.error) as error:
        # Torchvision takes an archive of that name for a whole one.
        raise BenchError(
            f"the archive of the task {name} is damaged: {_first_line(error)}",
            f"remove {folder} and run the same command",
        ) from error
    except (RuntimeError, OSError) as error:
        _require_place(error)
        raise BenchError(
            f"cannot fetch the task {name}: {_first_line(error)}",
            "run the same command where there is a network",
        ) from error


def _require_place(error: Exception) -> None:
    """Raise an error that is not of the network but of the disk."""
    if isinstance(error, OSError) and error.errno in (EACCES, EDQUOT, ENOSPC, EPERM, EROFS):
        raise error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
