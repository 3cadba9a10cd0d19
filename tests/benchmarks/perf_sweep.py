"""Wall time of a dry run of 100,000 specs, and of reading the records of 10,000 runs.

Usage: python tests/benchmarks/perf_sweep.py [--out FOLDER]

The dry run is the whole command, imports included; its parts are timed in this process. The records
are copies of that of a real run in the miniature world, which is executed first.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import yaml

from bench.core.paths import Home

T = TypeVar("T")

BENCH = [sys.executable, "-m", "bench.cli"]
RECORDS = 10_000
_PROCESSES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
GRID = {
    "task": ["aircraft", "cars", "flowers"],
    "source": ["retrieved", "synthetic"],
    "n": [10 * 2**k for k in range(10)],
    "seed": list(range(42)),
    "train.lr": [1e-4, 3e-4, 1e-3, 3e-3],
    "train.weight_decay": [0.0, 0.01, 0.03, 0.1, 0.3],
    "train.batch_size": [32, 64],
}
"""100,800 runs in 240 variants that differ in more than n and seed."""


def bench(home: Path, *words: str) -> None:
    """Run a command in a home."""
    environment = {**os.environ, "BENCH_HOME": str(home)}
    subprocess.run([*BENCH, *words], env=environment, check=True, stdout=subprocess.DEVNULL)


def timed(name: str, step: Callable[[], T]) -> T:
    """Call a function, print how long it took, and return its result."""
    wall, processor = time.perf_counter(), _processor()
    result = step()
    wall, processor = time.perf_counter() - wall, _processor() - processor
    print(f"{name}: {wall:.2f} s, {processor:.2f} s of processor", flush=True)
    return result


def _processor() -> float:
    """Return the processor seconds of this process and its finished children."""
    return sum(sum(resource.getrusage(who)[:2]) for who in _PROCESSES)


def expansion(folder: Path) -> None:
    """Time the dry run of a large study, and its parts."""
    from bench.planning.differences import differences
    from bench.planning.forecast import forecast
    from bench.planning.study import expand, load_study
    from bench.steps.prepare import all_with_fingerprints

    path, home = folder / "large.yaml", Home(folder / "empty")
    path.write_text(yaml.safe_dump({"preset": "mini", "grid": [{"product": GRID}]}))
    timed("the command", lambda: bench(home.root, "sweep", str(path), "--dry-run"))
    specs = timed("expand, plug-ins imported", lambda: expand(load_study(path)))
    specs = timed(f"expand {len(specs)} specs again", lambda: expand(load_study(path)))
    timed("fingerprints, plug-ins imported", lambda: all_with_fingerprints(specs, home))
    specs = timed("fingerprints again", lambda: all_with_fingerprints(specs, home))
    by_id = timed("run ids", lambda: {spec.run_id: spec for spec in specs})
    timed("differences", lambda: differences(specs))
    timed("forecast", lambda: forecast(by_id, {}, home))


def reading(folder: Path) -> None:
    """Time reading many records."""
    from bench.storage.run_folder import summaries

    home = Home(folder / "full")
    run = ["run", "--preset", "mini", "--source", "real", "--task", "aircraft", "--n", "64"]
    bench(home.root, *run)
    (source,) = home.runs.iterdir()
    record = json.loads((source / "record.json").read_text())
    for index in range(RECORDS):
        copy = home.runs / f"{index:012x}"
        copy.mkdir()
        (copy / "record.json").write_text(json.dumps({**record, "run_id": copy.name}, indent=2))
    size = (source / "record.json").stat().st_size
    shutil.rmtree(source)
    records = timed(f"read {RECORDS} records of {size} bytes", lambda: summaries(home))
    tenth = set(list(records)[::10])
    timed(f"read {len(tenth)} of them", lambda: summaries(home, tenth))


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.out) as name:
        expansion(Path(name))
        reading(Path(name))


if __name__ == "__main__":
    main()
