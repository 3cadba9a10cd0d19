"""What the database, the report and the status take where many runs have been.

Usage: python tests/benchmarks/perf_results.py [--out FOLDER] [--records 100000] [--images 300]

The runs are made up (tests/support/many_records.py): ten tasks, records of 17 kB and predictions as
in the miniature world. Each step is a command, imports included; its processor seconds, wall time
and greatest memory are printed, and how many times the seconds are those of reading the bytes of
all records. The report is that of a fifth of the records.
"""

import argparse
import os
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from bench.core.paths import Home
from bench.storage.study_folder import StudyFolder, Submitted
from tests.support.many_records import specs, write_many

BENCH = [sys.executable, "-m", "bench.cli"]
TASKS = 10
READ = """
import sys
from pathlib import Path
for folder in Path(sys.argv[1]).iterdir():
    (folder / "record.json").read_bytes()
"""


def measure(name: str, home: Home, *words: str, floor: float = 0.0) -> float:
    """Print what a process takes; return its processor seconds."""
    start = time.perf_counter()
    environment = {**os.environ, "BENCH_HOME": str(home.root)}
    with Path(os.devnull).open("wb") as nowhere:
        actions = [(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1)]
        pid = os.posix_spawn(words[0], words, environment, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    processor = usage.ru_utime + usage.ru_stime
    times = f", {processor / floor:.1f} times the reading" if floor else ""
    print(
        f"{name}: {processor:.1f} s of processor, {wall:.1f} s, "
        f"{usage.ru_maxrss / 1024:.0f} MB{times}",
        flush=True,
    )
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"{words} ended with {code}")
    return processor


def collecting(home: Home, runs: int, images: int) -> None:
    """Measure the database of many records: from nothing, again, and after one more."""
    write_many(home, TASKS, runs, images)
    floor = measure("reading the bytes", home, sys.executable, "-c", READ, str(home.runs))
    measure("collect", home, *BENCH, "collect", floor=floor)
    print(f"the database: {home.database.stat().st_size / 1e6:.0f} MB")
    measure("collect, nothing new", home, *BENCH, "collect", floor=floor)
    path = next(home.runs.iterdir()) / "record.json"
    path.write_bytes(path.read_bytes())
    measure("collect, one record changed", home, *BENCH, "collect", floor=floor)
    measure("query", home, *BENCH, "query", "SELECT count(*), avg(value) FROM scores")


def reporting(home: Home, runs: int, images: int) -> None:
    """Measure the report and the status of a study."""
    write_many(home, TASKS, runs, images)
    floor = measure("reading the bytes", home, sys.executable, "-c", READ, str(home.runs))
    measure("report, collecting too", home, *BENCH, "report", floor=floor)
    measure("report, nothing new", home, *BENCH, "report", floor=floor)
    print(f"the page: {(home.report / 'report.html').stat().st_size / 1e6:.1f} MB")
    every = [spec for task in range(TASKS) for spec in islice(specs(f"task-{task}"), runs)]
    done = {spec.run_id: f"{spec.task} {spec.source} {spec.n} {spec.seed}" for spec in every}
    half = {(run_id if index % 2 else f"{index:012}"): done[run_id]
            for index, run_id in enumerate(done)}  # fmt: skip
    for name, titles in (("done", done), ("half", half)):
        StudyFolder(home, name).submit(Submitted(name=name, runs=titles, on="local"))
        measure(f"status, {name} done", home, *BENCH, "status", name, floor=floor)


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="Folder for 4 GB.")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=300)
    arguments = parser.parse_args()
    runs = arguments.records // TASKS
    with tempfile.TemporaryDirectory(dir=arguments.out) as name:
        print(f"{runs * TASKS} records")
        collecting(Home(Path(name) / "many"), runs, arguments.images)
        print(f"{runs // 5 * TASKS} records")
        reporting(Home(Path(name) / "study"), runs // 5, arguments.images)


if __name__ == "__main__":
    main()
