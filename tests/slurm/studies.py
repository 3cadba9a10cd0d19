"""Studies of the small CLIP, started on the test cluster by the real command line."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import Outcome, command, environment
from tests.support import command_line

JOBS = ("--on", "slurm", "--slurm=gpus=0", "--slurm=mem=900M", "--slurm=time=30m")


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
        """Execute a command."""
        process = self.start(*words)
        out, err = process.communicate(timeout=900)
        return Outcome(process.returncode, out, err)

    def sweep(self, study: Path, *words: str) -> Outcome:
        """Sweep a study on Slurm."""
        return self.call("sweep", str(study), *JOBS, *words)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return a study's runs as `bench status` shows them."""
        rows: list[dict[str, Any]] = self.call("status", name, "--json").json["rows"]
        return rows

    def states(self, name: str) -> list[str]:
        """Return the states of a study's runs."""
        return [row["state"] for row in self.rows(name)]

    def record(self, run_id: str) -> dict[str, Any]:
        """Return a run's record."""
        path = self.home / "runs" / run_id / "record.json"
        record: dict[str, Any] = json.loads(path.read_text())
        return record

    def log(self, run_id: str) -> str:
        """Return a run's log."""
        return self.call("logs", run_id).out


def until(happened: Callable[[], object], seconds: float = 600) -> Any:
    """Wait until something is true, and return it."""
    # Most questions start a command, which takes the jobs' processor time.
    return command_line.until(happened, seconds, poll=2)


def result(record: dict[str, Any]) -> Any:
    """Return the part of a record that must not depend on how the run was executed."""
    epochs = record["selection"]["history"]
    history = [(epoch["epoch"], epoch["loss"], epoch["score"]) for epoch in epochs]
    return record["scores"], history, record["image_set"]
