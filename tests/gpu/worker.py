"""Run one part in a process of its own: `python -m tests.gpu.worker PART DEVICE OUT FOLDER`."""

import argparse
import importlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from tests.gpu.measure import Check, Figure, Machine, Result

PACKAGES = ("torch", "torchvision", "open_clip_torch", "diffusers", "transformers", "accelerate")


def main() -> None:
    """Write what the part reports, a line of JSON each, as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part")
    parser.add_argument("device")
    parser.add_argument("out", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    part = importlib.import_module(f"tests.gpu.parts.{given.part}")
    machine = Machine(torch.device(given.device), given.tiny, given.folder)
    with given.out.open("w", encoding="utf-8") as out:
        for line in _lines(part.run(machine), machine):
            out.write(json.dumps(line) + "\n")
            out.flush()


def _lines(results: Iterator[Result], machine: Machine) -> Iterator[dict[str, object]]:
    yield {"kind": "Machine", **_described(machine)}
    for result in results:
        line = {"kind": type(result).__name__, **asdict(result)}
        if isinstance(result, Figure):
            line |= {"median": result.median, "ratio": result.ratio}
        elif isinstance(result, Check):
            line |= {"holds": result.holds}
        yield line
    yield {"kind": "End"}


def _described(machine: Machine) -> dict[str, object]:
    """Return the card, the driver's CUDA and the packages."""
    on_cuda = machine.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name() if on_cuda else "cpu",
        "cuda": torch.version.cuda if on_cuda else None,
        "cores": machine.cores,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
