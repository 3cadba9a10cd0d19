"""The demo says the same on every processor, with any number of workers."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, command, environment

pytestmark = pytest.mark.slow

# How a processor without AVX-512 computes, or one without any vector units.
OTHER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def demo(home: Path, **changes: str) -> str:
    done = subprocess.run(
        command("demo"),
        env=environment(home) | changes,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def verdicts(said: str) -> list[str]:
    """Return the sentences without their figures, but with every sign."""
    text = " ".join(said.partition("per cent")[2].partition("plot:")[0].split())
    return re.sub(r"(?<![\w-])\d[\d.,]*", "#", text).split(" - ")


def test_another_processor_and_another_number_of_workers_say_the_same(tmp_path: Path) -> None:
    """The images are shared: what hangs on rounding is the training, the choice and the verdict."""
    one, other = tmp_path / "one", tmp_path / "other"
    said = demo(one)
    shutil.copytree(one / "data", other / "data")
    core = str(min(os.sched_getaffinity(0)))
    again = subprocess.run(
        ["taskset", "--cpu-list", core, *command("demo")],
        env=environment(other) | OTHER,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert verdicts(again.stdout) == verdicts(said)
    assert len(verdicts(said)) > 2
