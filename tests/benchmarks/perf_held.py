"""Speed of pools that hold their images, as a share of the bare work on the same bytes.

Usage: python tests/benchmarks/perf_held.py [--images 4000] [--side 512] [--folder /tmp]

Writes JPEGs of noise over smooth patches with captions as tars (with and without Parquet files
beside them) and as Parquet files of images; every tenth caption names a class. Each figure is CPU
seconds of bare work over wall seconds of ours, the best of three, alternating, so above 1 ours is
faster:

    scan    reading every byte of the files, in blocks of a mebibyte, over the scan
    read    reading the candidates' bytes in order and decoding, fitting and encoding each in as
            many threads, over the stage that does this and packs them
"""

import argparse
import io
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from PIL import Image

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Task
from bench.plugins.source import Context, Embedder
from bench.runtime.ahead import ahead
from bench.storage.image_codec import ImageFormat, decode
from sources.download.download import download
from sources.download.options import DownloadOptions
from sources.pool.held import Content
from sources.pool.pool import Pool
from sources.pool.scan import places, scan
from tests.support.held_pools import Pair, write_sidecar, write_table, write_tar

PER_FILE = 1000
IMAGES = ImageFormat()
TASK = Task(
    name="roses", version=1, class_names=("rose", "lily"), templates=("a {}",),
    domain_texts=("a flower",), queries={},
)  # fmt: skip


def picture(seed: int, side: int) -> bytes:
    """Return a JPEG of about the size of a photograph's."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 226, (8, 8, 3), np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.int16)
    noisy = np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(stream := io.BytesIO(), "JPEG", quality=85)
    return stream.getvalue()


def no_embedder(name: str) -> Embedder:
    raise AssertionError(name)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def read_all(folder: Path) -> None:
    """Read every byte below a folder."""
    block = bytearray(2**20)
    for path in sorted(folder.rglob("*.*")):
        with path.open("rb", buffering=0) as stream:
            while stream.readinto(block):
                pass


def keep(content: Content) -> bytes:
    """Return what is kept of an image, by the code that a stage uses."""
    return IMAGES.encoded(IMAGES.fitted(decode(content() or b"")))


def keep_all(pool: Pool, rows: pl.DataFrame) -> int:
    """Read the images at some places in order, and make of each what is kept; return the bytes."""
    found = (content for _, content in pool.contents(rows))
    return sum(map(len, ahead(keep, found, 64)))


def ratios(folder: Path) -> tuple[float, float]:
    """Return the shares of the scan and of the reading."""
    with TemporaryDirectory(dir=folder.parent) as scratch:
        home = Home(Path(scratch))
        context = Context(home, TASK, None, 0, no_embedder, Progress(quiet=True))
        pool = Pool.find(str(folder), home)
        times: dict[str, list[float]] = {"bare scan": [], "scan": [], "bare read": [], "read": []}
        for _ in range(3):
            shutil.rmtree(home.data, ignore_errors=True)
            times["bare scan"].append(seconds(partial(read_all, folder)))
            times["scan"].append(seconds(partial(scan, pool, TASK, context)))
            scanned = scan(pool, TASK, context)
            times["bare read"].append(seconds(partial(keep_all, pool, places(scanned))))
            read = partial(download, pool, scanned, DownloadOptions(), IMAGES, context)
            times["read"].append(seconds(read))
        best = {name: min(values) for name, values in times.items()}
        print("  " + ", ".join(f"{name} {took:.2f} s" for name, took in best.items()))
    return best["bare scan"] / best["scan"], best["bare read"] / best["read"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    images = [picture(seed, arguments.side) for seed in range(50)]
    pairs: list[Pair] = [
        {"url": f"http://a/{at}", "caption": "a rose" if at % 10 == 0 else "some other words",
         "punsafe": 0.0, "image": images[at % 50]}
        for at in range(arguments.images)
    ]  # fmt: skip
    with TemporaryDirectory(dir=arguments.folder) as scratch:
        root = Path(scratch)
        for part, start in enumerate(range(0, len(pairs), PER_FILE)):
            some = pairs[start : start + PER_FILE]
            write_tar(root / "texts" / f"{part:05d}.tar", some)
            write_tar(root / "beside" / f"{part:05d}.tar", some)
            write_sidecar(root / "beside" / f"{part:05d}.tar", some)
            write_table(root / "table" / f"{part:05d}.parquet", some, group=100)
        for name in ("texts", "beside", "table"):
            size = sum(path.stat().st_size for path in (root / name).iterdir()) / 1e6
            print(f"{name}: {size:.0f} MB")
            scanned, read = ratios(root / name)
            print(f"  scan {scanned:.2f}, read {read:.2f}")


if __name__ == "__main__":
    main()
