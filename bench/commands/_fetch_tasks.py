"""What `bench fetch --task` fetches: the archives of a benchmark, through torchvision."""

from pathlib import Path

from bench.commands._hub import first_line, require_place
from bench.core.errors import BenchError, unknown_name
from bench.core.paths import Home

_TASKS = ("aircraft", "cars", "flowers")


def fetch_task(name: str, home: Home) -> Path:
    """Fetch a benchmark's images, check them, and return their folder.

    Raises:
        RequestError: If there is no such task to fetch, or its data are not the official ones.
        BenchError: If they cannot be fetched.
    """
    from bench.tasks import find_task

    if name not in _TASKS:
        raise unknown_name("task to fetch", name, _TASKS)
    folder = home.tasks / name
    # Torchvision never fetches aircraft that have a folder, however little is in it.
    if name == "flowers" or (name == "aircraft" and not (folder / "fgvc-aircraft-2013b").exists()):
        _download(name, folder)
    # Cars are fetched by hand, which this says where they are not there.
    find_task(name).check(home)
    return folder


def _download(name: str, folder: Path) -> None:
    import gzip
    import tarfile
    import zlib

    import torchvision

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
            f"the archive of the task {name} is damaged: {first_line(error)}",
            f"remove {folder} and run the same command",
        ) from error
    except (RuntimeError, OSError) as error:
        require_place(error)
        raise BenchError(
            f"cannot fetch the task {name}: {first_line(error)}",
            "run the same command where there is a network",
        ) from error
