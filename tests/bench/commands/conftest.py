"""A short run, and file systems that are small or read-only."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bench, Outcome
from tests.support.command_line import request


@pytest.fixture
def run(bench: Bench, preset: Path, colours: Path) -> Callable[..., Outcome]:
    """Return what executes a run on real images in this process, with `--json`."""
    return lambda *words: bench(*request(preset, colours, *words))


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Any]:
    """Mount small file systems in memory, where that is allowed."""
    places: list[Path] = []

    def mount(place: Path, options: str) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", str(place)],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
        places.append(place)
        return place

    if os.name != "posix" or os.geteuid() or not shutil.which("mount"):
        pytest.skip("needs the right to mount: not root")
    yield mount
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
