"""The demo says the same on every processor, with any number of workers."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, command, environment

pytestmark = pytest.mark.slow

# As a processor without AVX-512 rounds, and PyTorch's own kernels without any vector units.
OTHER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "AVX2"}
ONE_CORE = ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0))))


def demo(home: Path, *before: str, **changes: str) -> str:
    done = subprocess.run(
        [*before, *command("demo")],
        env=environment(home, **changes),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sentences(said: str) -> list[str]:
    """Return what a demo concludes, without its figures but with their signs."""
    text = " ".join(said.partition("over test images]")[2].partition("plot:")[0].split())
    return re.sub(r"(?<![A-Za-z])\d[\d.,]*", "#", text).split(" - ")


def test_another_processor_and_another_number_of_workers_say_the_same(tmp_path: Path) -> None:
    """The images are shared: what hangs on rounding is the training, the choice and the verdict."""
    one, other = tmp_path / "one", tmp_path / "other"
    said = sentences(demo(one))
    shutil.copytree(one / "data", other / "data")
    assert sentences(demo(other, *ONE_CORE, **OTHER)) == said
    assert "retrieved images beat synthetic ones" in said[0]
