"""Speed and memory of the scan over captions.

Usage: python tests/benchmarks/perf_scan.py [--rows 1000000] [--names 10,100,1000,10000]
       [--large 10] [--compression snappy] [--folder /tmp]

Captions are 13 words of CLIP's vocabulary by Zipf's law (70 characters); every twentieth has a
typographic apostrophe, every five hundredth names a class. Times are CPU seconds, the best of
three, so a busy machine does not count; set POLARS_MAX_THREADS=1 for those of one core. --large 10
measures memory on a pool ten times as large too (links to the same files).
"""

import argparse
import gzip
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Task
from bench.plugins.source import Context, Embedder
from sources.pool.pool import Pool
from sources.pool.scan import candidates, scan

ROWS_PER_FILE = 1_000_000
ROWS_PER_GROUP = 125_000
WORDS_PER_CAPTION = 13
Compression = Literal["snappy", "zstd", "uncompressed"]
SQLITE_ROWS = 100_000


def vocabulary() -> list[str]:
    """Return the whole words of CLIP's tokenizer, the most frequent first."""
    spec = find_spec("open_clip")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    tokens = ("".join(line.split()) for line in lines)
    words = (token.removesuffix("</w>") for token in tokens if token.endswith("</w>"))
    return list(dict.fromkeys(word for word in words if word.isascii() and word.isalpha()))


def class_names(count: int) -> list[str]:
    """Return names of two or three of the rarer words."""
    rng, rare = np.random.default_rng(1), vocabulary()[2000:]
    return [" ".join(rng.choice(rare, rng.integers(2, 4))).title() for _ in range(count)]


def write_pool(folder: Path, rows: int, compression: Compression) -> None:
    words = np.array(vocabulary())
    rng, chance = np.random.default_rng(0), 1 / (10 + np.arange(len(words)))
    names = np.array(class_names(100))
    folder.mkdir()
    for part in range(-(-rows // ROWS_PER_FILE)):
        size = min(ROWS_PER_FILE, rows - part * ROWS_PER_FILE)
        picks = rng.choice(len(words), (WORDS_PER_CAPTION, size), p=chance / chance.sum())
        columns = [pl.Series(str(index), words[pick]) for index, pick in enumerate(picks)]
        row = pl.int_range(pl.len())
        name = pl.lit(pl.Series(names[rng.integers(0, len(names), size)]))
        columns += [pl.Series("id", rng.integers(0, 2**62, size))]
        caption = pl.concat_str([str(index) for index in range(WORDS_PER_CAPTION)], separator=" ")
        pl.DataFrame(columns).select(
            URL=pl.format("https://images{}.example.com/{}/photo-{}.jpg", row % 997, "3", "id"),
            TEXT=caption
            + pl.when(row % 20 == 0).then(pl.lit(" it\u2019s")).otherwise(pl.lit(""))
            + pl.when(row % 500 == 0).then(pl.lit(" ") + name).otherwise(pl.lit("")),
            NSFW=pl.when(row % 30 == 7).then(pl.lit("UNSURE")).otherwise(pl.lit("UNLIKELY")),
        ).write_parquet(
            folder / f"{part:05d}.parquet", compression=compression, row_group_size=ROWS_PER_GROUP
        )


def task_of(names: list[str]) -> Task:
    return Task(
        name="perf", version=1, class_names=tuple(names), templates=("{}",), domain_texts=("a",)
    )


def no_embedder(name: str) -> Embedder:
    raise AssertionError(name)


def scan_pool(folder: Path, names: list[str]) -> int:
    """Scan into an empty home; return the number of candidates."""
    with tempfile.TemporaryDirectory() as home:
        task = task_of(names)
        quiet = Progress(quiet=True)
        context = Context(Home(Path(home)), task, None, 0, no_embedder, quiet)
        return candidates(scan(Pool("perf", folder), task, context)).height


def decode(folder: Path, *columns: str) -> None:
    """Decode some columns, as the scan does, and no more."""
    for path in sorted(folder.glob("*.parquet")):
        pl.scan_parquet(path).select(columns).collect()


def seconds(work: Callable[[], object], times: int = 3) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def sqlite(folder: Path, names: list[str]) -> int:
    """Do as the authors: load a full-text table, then one MATCH per class."""
    rows = pl.scan_parquet(folder / "*.parquet").head(SQLITE_ROWS).collect()
    with tempfile.TemporaryDirectory() as home:
        database = sqlite3.connect(Path(home) / "samples.db")
        database.execute("CREATE VIRTUAL TABLE samples USING fts5(URL, TEXT, NSFW)")
        database.executemany("INSERT INTO samples VALUES (?, ?, ?)", rows.iter_rows())
        database.commit()
        match = "SELECT * FROM samples WHERE TEXT MATCH ?"
        found = sum(len(database.execute(match, [f'"{name}"']).fetchall()) for name in names)
        database.close()
    return found


def peak_mb(folder: Path) -> float:
    """Return the largest resident size of a fresh process that scans a pool."""
    words = [sys.executable, __file__, "--measure", str(folder)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def enlarge(folder: Path, times: int, target: Path) -> None:
    target.mkdir()
    for path in sorted(folder.glob("*.parquet")):
        for copy in range(times):
            os.link(path, target / f"{copy}-{path.name}")


def main(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=arguments.folder) as work:
        folder = Path(work) / "pool"
        write_pool(folder, arguments.rows, arguments.compression)
        rows, names = arguments.rows, class_names(100)
        decoding = seconds(lambda: decode(folder, "TEXT"))
        floor = seconds(lambda: decode(folder, "TEXT", "URL", "NSFW"))
        print(f"{pl.thread_pool_size()} threads, {rows:,} captions, {arguments.compression}")
        print(f"decoding the captions: {rows / decoding / 1e6:.2f} M/s")
        print(f"decoding captions, addresses and flags: {rows / floor / 1e6:.2f} M/s")
        times = {}
        for count in arguments.names:
            some = class_names(count)
            times[count] = seconds(lambda some=some: scan_pool(folder, some))  # type: ignore[misc]
            print(
                f"{count:>6} classes: {rows / times[count] / 1e6:.2f} M/s, "
                f"{decoding / times[count]:.2f} of decoding the captions, "
                f"{floor / times[count]:.2f} of decoding all three"
            )
        for count in arguments.names:
            if 100 in times and count > 100:
                print(f"{count:>6} classes take {times[count] / times[100]:.2f} x the time of 100")
        theirs = seconds(lambda: sqlite(folder, names), 1) / min(rows, SQLITE_ROWS)
        ours = times.get(100, seconds(lambda: scan_pool(folder, names), 1)) / rows
        print(f"SQLite FTS5, 100 classes: {1e-6 / theirs:.3f} M/s; ours is {theirs / ours:.0f} x")
        print(f"peak memory: {peak_mb(folder):.0f} MB", end="")
        if arguments.large > 1:
            enlarge(folder, arguments.large, Path(work) / "large")
            print(f"; of {arguments.large} times the pool {peak_mb(Path(work) / 'large'):.0f} MB")
        else:
            print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--names", type=lambda text: [int(part) for part in text.split(",")],
        default=[10, 100, 1_000, 10_000],
    )  # fmt: skip
    parser.add_argument("--large", type=int, default=1)
    parser.add_argument("--compression", default="snappy", choices=get_args(Compression))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        scan_pool(given.measure, class_names(100))
        # Not getrusage: a process begins with the largest size of the one that started it.
        status = Path("/proc/self/status").read_text()
        print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
    else:
        main(given)
