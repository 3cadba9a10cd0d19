"""The miniature pool: captioned images as a table, the truth about them, and their pixels.

`build_pool` writes two things. `pool/` holds what the web would show: LAION columns, no more.
`truth.parquet`, beside it, says what each image really is; only the server, training and the
evaluation in the docs may read it. A source that reads it answers the question by cheating.
"""

import math
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image

from bench.core.errors import BenchError
from bench.core.files import read_parquet, write_parquet
from bench.miniworld.composition import (
    KIND_SHARES,
    SPLITS,
    STATUS_SHARES,
    sample_rows,
    sample_statuses,
)
from bench.miniworld.render import CLASSES, render

__all__ = [
    "IMAGE_SIZE",
    "KIND_SHARES",
    "PLACEHOLDER_HOST",
    "SPLITS",
    "STATUS_SHARES",
    "WORLD",
    "Pixels",
    "TruthRow",
    "build_pool",
    "check_complete",
    "image_of",
    "map_in_processes",
    "read_truth",
    "render_of",
    "split_arrays",
    "split_seeds",
    "training_pairs",
]

WORLD = "miniworld-v2"
"""Name of the pool's folder in a home's data. Its version is raised whenever the renderer or the
composition changes, so that nothing made of an older pool passes for this one's."""
IMAGE_SIZE = 32
PART_COUNT = 4
# The server's port changes with every start; a fixed host keeps the pool's bytes the same.
PLACEHOLDER_HOST = "miniworld.invalid"
NSFW_SHARES = {"UNLIKELY": 0.95, "UNSURE": 0.03, "NSFW": 0.02}
ALTERED_KINDS = ("near_duplicate", "leak")
CHUNK = 200
"""Images that a process renders at a time: a third of a second."""

Pixels = npt.NDArray[np.uint8]
Row = TypeVar("Row")


class TruthRow(NamedTuple):
    """What one row of the pool really is; the columns of `truth.parquet`."""

    sample_id: int
    path: str
    domain: str
    name: str
    seed: int
    kind: str
    named_domain: str
    named_class: str
    status: str


def build_pool(folder: Path, *, size: int = 30_000, seed: int = 0) -> None:
    """Write `pool/part-0000{0..3}.parquet` and then `truth.parquet` into a folder.

    The same size and seed give the same bytes. Files appear whole; the truth comes last, so that
    its presence means the pool is complete.

    Args:
        folder: Where to write; made when absent.
        size: Number of rows.
        seed: Seed of everything sampled.

    Raises:
        ValueError: The size is below 100 rows, where the shares of the kinds lose their meaning.
    """
    if size < 100:
        raise ValueError(f"size is {size}; choose 100 or more")
    rng = np.random.default_rng(seed)
    drafts = sample_rows(size, rng)
    statuses = sample_statuses(size, rng)
    sample_ids = [int(sample_id) for sample_id in rng.choice(2**40, size, replace=False)]
    truth = [
        TruthRow(sample_id, f"images/{sample_id:010x}.png", *draft[:-1], status)
        for sample_id, draft, status in zip(sample_ids, drafts, statuses, strict=True)
    ]
    table = _public_table(truth, [draft.text for draft in drafts], rng)
    (folder / "pool").mkdir(parents=True, exist_ok=True)
    # An older truth must not vouch for a half-written new pool.
    _truth_file(folder).unlink(missing_ok=True)
    for part in range(PART_COUNT):
        start, stop = (size * index // PART_COUNT for index in (part, part + 1))
        write_parquet(folder / "pool" / f"part-{part:05d}.parquet", table[start:stop])
    truth_table = pl.DataFrame(truth, schema=list(TruthRow._fields), orient="row")
    write_parquet(_truth_file(folder), truth_table)


def read_truth(folder: Path) -> list[TruthRow]:
    """Read the truth about every row, in the pool's order.

    Raises:
        ValueError: The folder holds no complete pool.
    """
    check_complete(folder)
    return [TruthRow(*row) for row in read_parquet(_truth_file(folder)).iter_rows()]


def check_complete(folder: Path) -> None:
    """Refuse a folder without a complete pool.

    Raises:
        ValueError: The folder holds none.
    """
    if not _truth_file(folder).is_file():
        raise ValueError(f"no complete pool in {folder}; write one with build_pool")


def image_of(row: TruthRow) -> Pixels:
    """Return the pixels that the pool's image has, whether or not its link works."""
    pixels: Pixels = render(row.domain, row.name, row.seed, size=IMAGE_SIZE)
    return _altered(pixels, row.sample_id) if row.kind in ALTERED_KINDS else pixels


def render_of(row: tuple[str, str, int]) -> Pixels:
    """Return the pixels of a domain's class with a seed, unaltered."""
    domain, name, seed = row
    return render(domain, name, seed, size=IMAGE_SIZE)


def split_seeds(split: str) -> range:
    """Return the render seeds of a split's images; every class has the same ones.

    Raises:
        ValueError: The split does not exist.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose one of {', '.join(SPLITS)}")
    count, first_seed = SPLITS[split]
    return range(first_seed, first_seed + count)


def split_arrays(domain: str, split: str) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Render a split of a task.

    Args:
        domain: One of `CLASSES`.
        split: One of `SPLITS`.

    Returns:
        Images of shape [n, 32, 32, 3] and labels of shape [n], counted in the order of `CLASSES`.

    Raises:
        ValueError: The domain or the split does not exist.
    """
    seeds = split_seeds(split)
    if domain not in CLASSES:
        raise ValueError(f"no domain {domain!r}; choose one of {', '.join(CLASSES)}")
    images = [render_of((domain, name, seed)) for name in CLASSES[domain] for seed in seeds]
    labels = np.repeat(np.arange(len(CLASSES[domain]), dtype=np.int64), len(seeds))
    return np.stack(images), labels


def training_pairs(folder: Path, processes: int = 2) -> tuple[Pixels, list[str]]:
    """Render every image of the pool that can be downloaded, with its caption.

    Starts processes with `spawn`, so a calling script needs a `__main__` guard.

    Args:
        folder: A folder written by `build_pool`.
        processes: How many render.

    Returns:
        Images of shape [n, 32, 32, 3] and as many captions, in the pool's order.

    Raises:
        ValueError: The folder holds no complete pool.
    """
    rows = read_truth(folder)
    parts = (folder / "pool" / f"part-{part:05d}.parquet" for part in range(PART_COUNT))
    texts = pl.concat(map(read_parquet, parts))["TEXT"].to_list()
    fetchable = [index for index, row in enumerate(rows) if row.status == "ok"]
    images = map_in_processes(image_of, [rows[index] for index in fetchable], processes)
    return np.stack(images), [texts[index] for index in fetchable]


def map_in_processes(
    make: Callable[[Row], Pixels], rows: Sequence[Row], processes: int
) -> list[Pixels]:
    """Return the image of each row, in order, whatever the number of processes.

    Args:
        make: A function of a module, which new processes can import.
        rows: What it takes.
        processes: How many render. More than one are started with `spawn`, so a calling script
            needs a `__main__` guard.

    Raises:
        BenchError: One of them was ended.
    """
    processes = min(processes, math.ceil(len(rows) / CHUNK))
    if processes == 1:
        return [make(row) for row in rows]
    # Forking a process whose table library runs threads may hang, hence spawn.
    spawn = multiprocessing.get_context("spawn")
    try:
        # Unlike multiprocessing's own pool, it does not wait for ever for a process that is gone.
        with ProcessPoolExecutor(processes, mp_context=spawn) as workers:
            return list(workers.map(make, rows, chunksize=CHUNK))
    except BrokenProcessPool as error:
        raise BenchError(
            "a process that renders images was ended", "see whether memory is short, and run again"
        ) from error


def _public_table(rows: list[TruthRow], texts: list[str], rng: np.random.Generator) -> pl.DataFrame:
    """Return the table a LAION user sees."""
    size = len(rows)
    flags = rng.choice(list(NSFW_SHARES), size, p=list(NSFW_SHARES.values()))
    # LAION keeps pairs above 0.28. Sampled independently of the truth, so that it cannot leak it.
    similarity = 0.28 + rng.gamma(2.0, 0.02, size)
    return pl.DataFrame(
        {
            "SAMPLE_ID": [row.sample_id for row in rows],
            "URL": [f"http://{PLACEHOLDER_HOST}/{row.path}" for row in rows],
            "TEXT": texts,
            "HEIGHT": [IMAGE_SIZE] * size,
            "WIDTH": [IMAGE_SIZE] * size,
            "LICENSE": ["?"] * size,
            "NSFW": flags.tolist(),
            "similarity": similarity,
        }
    )


def _altered(pixels: Pixels, sample_id: int) -> Pixels:
    """Return an image as a second web site would show it: re-exposed, cropped or noisy."""
    rng = np.random.default_rng(sample_id)
    match int(rng.integers(3)):
        case 0:
            change = rng.choice([-1, 1]) * rng.integers(4, 13)
        case 1:
            inside = (1, 1, IMAGE_SIZE - 1, IMAGE_SIZE - 1)
            size = (IMAGE_SIZE, IMAGE_SIZE)
            cropped = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, inside)
            return np.asarray(cropped)
        case _:
            change = rng.integers(-5, 6, pixels.shape)
    changed: Pixels = np.clip(pixels.astype(np.int16) + change, 0, 255).astype(np.uint8)
    return changed


def _truth_file(folder: Path) -> Path:
    return folder / "truth.parquet"
