"""Where a result came from: code, packages and machine."""

import platform
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from bench.core.json_values import Json

PACKAGES = (
    "torch",
    "open_clip_torch",
    "diffusers",
    "transformers",
    "accelerate",
    "img2dataset",
    "polars",
    "numpy",
    "pillow",
)


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute the results."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return versions


SNAPSHOT = "commit.json"
"""File beside the packages in a copy of the code: the result of `git` where it was copied."""


@cache
def git() -> Json:
    """Return the commit of the running code, and whether it was changed since."""
    folder = Path(__file__).parents[2]
    snapshot = folder / SNAPSHOT
    if snapshot.is_file():
        return dict(msgspec.json.decode(snapshot.read_bytes(), type=Json))

    def ask(*words: str) -> str | None:
        try:
            command = ["git", "-C", str(folder), *words]
            answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip()

    changes = ask("status", "--porcelain")
    return {"commit": ask("rev-parse", "HEAD"), "dirty": None if changes is None else bool(changes)}


def device() -> str:
    """Return the name of the device that models run on."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}, {platform.machine()}"


def peak_memory_mb() -> float:
    """Return the peak memory of this process, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
