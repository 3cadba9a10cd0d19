"""Requests for the command line: the words of a run, a small study, and what they leave behind."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from bench.core.paths import Home
from tests.conftest import Bench

DIVERGING = 1e30
"""A learning rate with which a training of several steps ends in an error."""


def request(preset: Path, task: Path, *more: str, source: str = "real") -> list[str]:
    """Return the words of a run that prints its record."""
    words = ["run", "--preset", str(preset), "--source", source, "--task", str(task), "--json"]
    return [*words, *more]


def write_study(
    folder: Path, preset: Path, *blocks: dict[str, Any], name: str = "small", epochs: int = 1
) -> Path:
    """Write a study; each block of its grid is a product of axes."""
    content = {
        "name": name,
        "preset": str(preset),
        "settings": {"train.epochs": epochs},
        "grid": [{"product": axes} for axes in blocks],
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def files(root: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder."""
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def until(happened: Callable[[], Any], seconds: float = 300, poll: float = 0.05) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (result := happened()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(poll)
    return result


def refusal(bench: Bench, home: Home, source: str, *settings: str, begun: bool = False) -> str:
    """Return why some settings of a source are a wrong request, found before any work or later."""
    words = ["run", "--preset", "mini", "--source", source, "--task", "aircraft", "--n", "8"]
    outcome = bench(*words, *(f"--set=source.{setting}" for setting in settings))
    assert (outcome.code, outcome.out) == (2, "")
    assert home.runs.exists() == begun
    return outcome.complaint


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
