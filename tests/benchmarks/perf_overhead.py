"""What executing a study costs beyond its runs: a bare loop, `local`, and Slurm.

Usage: python tests/benchmarks/perf_overhead.py [--runs 50] [--slurm NAME=VALUE ...]

The runs are trivial: the small CLIP of the tests, three colours, no training. The bare loop calls
`bench.run.run` on each in one process. `local` has one worker and Slurm one job at a time, so that
the difference to the loop is the harness's: starting processes, imports, records, status. Slurm is
left out where it is not installed. `bench status` is timed on 10,000 finished runs.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from bench.core.paths import Home
from bench.storage.study_folder import StudyFolder, Submitted
from tests.support.tiny_clip import COLOURS, square, write_tiny_clip

ROOT = Path(__file__).parents[2]
BENCH = [sys.executable, "-m", "bench.cli"]
LOOP = """
import sys
from pathlib import Path
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.steps.prepare import all_with_fingerprints
from bench.run import run
from bench.planning.study import expand, load_study
home = Home.from_environment()
home.make_writable()
for spec in all_with_fingerprints(expand(load_study(Path(sys.argv[1]))), home):
    run(spec, home, Progress(quiet=True))
"""


def write_study(folder: Path, runs: int) -> Path:
    """Write a study of runs that do almost nothing."""
    clip = write_tiny_clip(folder / "tiny-clip")
    task = folder / "colours"
    for split, first in (("train", 0), ("val", 100), ("test", 200)):
        for label, name in enumerate(COLOURS):
            (task / split / name).mkdir(parents=True)
            for index in range(4):
                square(label, first + 10 * index + label).save(task / split / name / f"{index}.png")
    preset = folder / "tiny.yaml"
    content = {"description": "Almost nothing.", "tasks": {}, "model": str(clip)}
    content |= {"train": {"select_by": "zero-shot"}, "evaluators": {"zero-shot": {}}}
    preset.write_text(yaml.safe_dump({**content, "sources": {"none": {}}}))
    axes = {"task": [str(task)], "source": ["none"], "n": ["all"], "seed": list(range(runs))}
    study = folder / "trivial.yaml"
    study.write_text(yaml.safe_dump({"preset": str(preset), "grid": [{"product": axes}]}))
    return study


def timed(home: Path, *words: str) -> float:
    """Return the seconds that a command takes in a home."""
    environment = {**os.environ, "BENCH_HOME": str(home), "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    subprocess.run(words, env=environment, check=True, capture_output=True, cwd=home.parent)
    return time.perf_counter() - start


def many_records(folder: Path, source: Path, count: int) -> Path:
    """Make a home with a study of finished runs that all have the given record."""
    home = Home(folder / "many")
    record = source.read_bytes()
    for number in range(count):
        path = home.run(f"{number:012d}") / "record.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(record)
    titles = {f"{number:012d}": f"run {number}" for number in range(count)}
    StudyFolder(home, "many").submit(Submitted(name="many", runs=titles, on="debug"))
    return home.root


def main() -> None:
    """Measure, and print seconds per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--slurm", action="append", default=["gpus=0", "time=30m"])
    parser.add_argument("--record", type=Path, help="A record of a real run, for `bench status`.")
    given = parser.parse_args()
    slurm = [word for setting in given.slurm for word in ("--slurm", setting)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        study = str(write_study(folder, given.runs))
        bare = timed(folder / "bare", sys.executable, "-c", LOOP, study)
        print(f"bare loop of {given.runs} runs: {bare:.1f} s", flush=True)
        executors = {"local": ["--on", "local", "--parallel", "1"]}
        if shutil.which("sbatch"):
            submit = ["--on", "slurm", "--parallel", "1", "--wait", *slurm]
            executors["slurm, a job a run"] = submit
            executors["slurm, 10 runs a job"] = [*submit, "--slurm", "run.runs=10"]
        for name, words in executors.items():
            home = folder / name.replace(" ", "-").replace(",", "")
            seconds = timed(home, *BENCH, "sweep", study, *words)
            share = (seconds - bare) / given.runs
            print(f"{name}: {seconds:.1f} s, {share:.2f} s a run beyond the loop", flush=True)
        record = given.record or next((folder / "bare" / "runs").glob("*/record.json"))
        size = len(json.dumps(json.loads(record.read_text())))
        many = many_records(folder, record, 10_000)
        seconds = timed(many, *BENCH, "status", "many")
        print(f"status of 10,000 runs with records of {size:,} bytes: {seconds:.2f} s")


if __name__ == "__main__":
    main()
