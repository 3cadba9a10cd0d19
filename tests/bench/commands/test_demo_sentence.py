"""The demo's conclusion is the same on every processor, with any number of workers."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, command, environment

pytestmark = pytest.mark.slow(minutes=9)

# As a processor without AVX-512 rounds, and PyTorch's own kernels without any vector units.
OTHER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "AVX2"}
ONE_CORE = ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0))))


def demo(home: Path, *before: str, **changes: str) -> str:
    done = subprocess.run(
        [*before, *command("demo")],
        env=environment(home, **changes), cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def sentences(out: str) -> list[str]:
    """Return what a demo concludes, without its figures but with their signs."""
    text = " ".join(out.partition("over test images]")[2].partition("plot:")[0].split())
    # A p-value below 0.001 is given as such, others as they are.
    return re.sub(r"([<=] )?(?<![A-Za-z])\d[\d.,]*", "#", text).split(" - ")


def test_another_processor_and_number_of_workers_come_to_the_same(tmp_path: Path) -> None:
    """The images are shared: only training, selection and verdict depend on rounding."""
    first, second = tmp_path / "first", tmp_path / "second"
    concluded = sentences(demo(first))
    shutil.copytree(first / "data", second / "data")
    assert sentences(demo(second, *ONE_CORE, **OTHER)) == concluded
    assert "retrieved images beat synthetic ones" in concluded[0]
