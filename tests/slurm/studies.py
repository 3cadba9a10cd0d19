"""Studies of the small CLIP, started on the test cluster by the real command line."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import Outcome, command, environment

JOBS = ("--on", "slurm", *(f"--slurm={one}" for one in ("gpus=0", "mem=900M", "time=30m")))


@dataclass(frozen=True)
class Lab:
    """A home, a preset and a task for studies on Slurm."""

    home: Path
    preset: Path
    task: Path

    def write(self, name: str, *grid: dict[str, Any], **settings: Any) -> Path:
        """Write a study; each block of the grid is the axes of a product."""
        blocks = [{"product": {"task": [str(self.task)], **axes}} for axes in grid]
        content = {"name": name, "preset": str(self.preset), "settings": settings, "grid": blocks}
        path = self.home.parent / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            command(*words), env=environment(self.home), cwd=self.home.parent, text=True, **pipes
        )

    def call(self, *words: str) -> Outcome:
        """Carry out a command."""
        process = self.start(*words)
        out, err = process.communicate(timeout=300)
        return Outcome(process.returncode, out, err)

    def sweep(self, study: Path, *words: str) -> Outcome:
        """Sweep a study on Slurm."""
        return self.call("sweep", str(study), *JOBS, *words)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return a study's runs as `bench status` tells them."""
        found: list[dict[str, Any]] = self.call("status", name, "--json").json["rows"]
        return found

    def states(self, name: str) -> list[str]:
        """Return the states of a study's runs."""
        return [row["state"] for row in self.rows(name)]

    def record(self, run_id: str) -> dict[str, Any]:
        """Return a run's record."""
        path = self.home / "runs" / run_id / "record.json"
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def log(self, run_id: str) -> str:
        """Return what a run said."""
        return self.call("logs", run_id).out


def until(happened: Callable[[], object], seconds: float = 240) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        # Most of what is asked starts a command, which takes the jobs' processor time.
        time.sleep(2)
    return found


def result(record: dict[str, Any]) -> Any:
    """What of a record must not depend on how the run was carried out."""
    history = [(one["epoch"], one["loss"], one["score"]) for one in record["selection"]["history"]]
    return record["scores"], history, record["image_set"]
