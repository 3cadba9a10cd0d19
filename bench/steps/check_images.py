"""Decode every image of a task before any work: a damaged one must not cost a training."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
from PIL import ImageStat

from bench.core.errors import RequestError
from bench.core.files import write_json
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.progress import Bar, Progress, first_few
from bench.core.specs import RunSpec
from bench.core.stage_names import CHECK
from bench.core.task import SPLITS, Split, Task
from bench.runtime import threads
from bench.storage.image_codec import CODEC, FORMATS
from bench.storage.stage import Stage
from bench.tasks import find_task

MOST_THREADS = 16
"""Threads that decode; a file system that many share gains nothing from more."""

BATCH_SIZE = 1_000
"""Images that wait for a thread at a time; each takes about a kilobyte."""

ONE_SHADE = 16
"""An image whose levels, of 256, differ by less shows nothing: it is blank, or has numbers of 12
bits or fewer in a file of 16, which are the type's darkest sixteenth."""

_ONE_SHADE = "one_shade.json"


@dataclass(frozen=True)
class _Seen:
    """What became of one image: why it was not read, and whether it is of one shade."""

    key: str
    fault: str = ""
    one_shade: bool = False


def check_images(specs: Sequence[RunSpec], home: Home, progress: Progress) -> None:
    """Make sure that every image of the runs' tasks decodes: once per task, home and `CODEC`.

    All splits are read, because copies are looked for in all of them. Of processes that ask at
    once, one does the work.

    Raises:
        RequestError: If images do not decode; it counts them and names the first.
    """
    for name in dict.fromkeys(spec.task for spec in specs):
        task = find_task(name)
        if not task.rendered:
            _check(task.at(home), home, progress)


def _check(task: Task, home: Home, progress: Progress) -> None:
    config: Json = {"task": task.fingerprint, "sizes": task.split_sizes, "codec": CODEC}
    stage = Stage(home.data, CHECK, config, progress=progress)

    def make(_: int, folder: Path) -> None:
        splits = [task.split(name, home) for name in (*SPLITS, *task.shifted)]
        total = sum(map(len, splits))
        with progress.bar(f"check images of {task.name}", total, "image") as bar:
            seen = [one for split in splits for one in _read(split, bar)]
        if faults := [one.fault for one in seen if one.fault]:
            raise RequestError(
                f"{len(faults)} of {total} images of task {task.name!r} cannot be read: "
                f"{first_few(faults)}",
                "replace them, or remove them from a folder of your own; the formats that are "
                f"read are {', '.join(FORMATS)}",
            )
        write_json(folder / _ONE_SHADE, [one.key for one in seen if one.one_shade])

    stage.run(1, make)
    if names := msgspec.json.decode((stage.shard(0) / _ONE_SHADE).read_bytes(), type=list[str]):
        progress.say(
            f"{len(names)} images of task {task.name} show one shade only: they are blank, or hold "
            f"12 bits or fewer in a file of 16 ({first_few(names)})"
        )


def _read(split: Split, bar: Bar) -> Iterator[_Seen]:
    """Yield what becomes of each image of a split, in order."""

    def seen(row: int) -> _Seen:
        key = split.keys[row]
        try:
            ranges = ImageStat.Stat(split.read(row).convert("RGB")).extrema
        except RequestError as error:
            return _Seen(key, error.what)
        except (OSError, ValueError) as error:  # A plug-in's task may read in its own way.
            return _Seen(key, f"{key}: {error}")
        return _Seen(key, one_shade=all(high - low < ONE_SHADE for low, high in ranges))

    with ThreadPoolExecutor(min(threads.cores(), MOST_THREADS)) as pool:
        for start in range(0, len(split), BATCH_SIZE):
            for one in pool.map(seen, range(start, min(start + BATCH_SIZE, len(split)))):
                bar.advance()
                yield one
