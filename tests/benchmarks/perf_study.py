"""Wall and processor time of a miniature study of 24 runs against its runs one by one.

Usage: python tests/benchmarks/perf_study.py [--out FOLDER] [--epochs 4]

The study is one `bench sweep` in an empty home. A separate run is one `bench run` in an empty home
of its own. All seeds cost the same, so one of them is run separately and counted for all.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

SOURCES = ("retrieved", "synthetic")
SIZES = (30, 60, 120)
SEEDS = (0, 1, 2, 3)
BENCH = [sys.executable, "-m", "bench.cli"]


def measure(home: Path, *words: str) -> tuple[float, float]:
    """Return the wall and processor seconds of a command in a home."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    environment = {**os.environ, "BENCH_HOME": str(home)}
    subprocess.run([*BENCH, *words], env=environment, check=True, capture_output=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def study(folder: Path, epochs: int) -> tuple[float, float]:
    """Return the seconds of the study."""
    path = folder / "study.yaml"
    axes = {"task": ["aircraft"], "source": list(SOURCES), "n": list(SIZES), "seed": list(SEEDS)}
    content = {"preset": "mini", "settings": {"train.epochs": epochs}, "grid": [{"product": axes}]}
    path.write_text(yaml.safe_dump({"name": "twenty-four", **content}))
    return measure(folder / "study", "sweep", str(path))


def separate(folder: Path, epochs: int) -> tuple[float, float]:
    """Return the seconds of the same runs, executed separately."""
    wall = processor = 0.0
    for source in SOURCES:
        for n in SIZES:
            words = ["run", "--preset", "mini", "--task", "aircraft", "--source", source]
            words += ["--n", str(n), "--set", f"train.epochs={epochs}"]
            took = measure(folder / f"{source}-{n}", *words)
            print(f"{source} {n}: {took[0]:.0f} s, {took[1]:.0f} s of processor", flush=True)
            wall += took[0] * len(SEEDS)
            processor += took[1] * len(SEEDS)
    return wall, processor


def main() -> None:
    """Measure both and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.out) as name:
        together = study(Path(name), arguments.epochs)
        print(f"study: {together[0]:.0f} s, {together[1]:.0f} s of processor", flush=True)
        apart = separate(Path(name), arguments.epochs)
    print(f"separate: {apart[0]:.0f} s, {apart[1]:.0f} s of processor")
    print(f"ratio: wall {apart[0] / together[0]:.1f}, processor {apart[1] / together[1]:.1f}")


if __name__ == "__main__":
    main()
