"""Packages for a machine without a network: `python -m tests.gpu.wheels fetch [--python 3.12]`.

`wheels.txt` lists them, in two lots below 50 MB each, because some transfers are limited. `fetch`
needs a network; what it fetched is carried to the machine, and `unpack_missing` does the rest.
"""

import argparse
import platform
import subprocess
import sys
import zipfile
import zlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

WHEELS = Path(".wheels")
LIST = Path(__file__).with_name("wheels.txt")
IMPORTED = (
    "torchvision", "accelerate", "click", "diffusers", "huggingface_hub", "msgspec",
    "open_clip_torch", "polars", "PyYAML", "safetensors", "tokenizers", "tqdm", "transformers",
)  # fmt: skip
"""What the parts import themselves; each brings others, by its version."""

PLATFORMS = [f"manylinux{tag}_x86_64" for tag in ("_2_28", "_2_27", "_2_17", "2014", "1")]


def listed() -> list[tuple[str, str]]:
    """Return the lot and the requirement, such as ``polars==2.1.0``, of each wheel."""
    rows = [line.split("#")[0].split() for line in LIST.read_text().splitlines()]
    return [(row[0], row[1]) for row in rows if row]


def unusable(wheels: Path) -> str:
    """Return why a wheel is of no use to this Python, and the remedy; empty if all are."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    for path in _carried(wheels):
        if path.stem.count("-") < 4:
            return f"{path} is not named as a wheel: carry it here again"
        *_, python, abi, machine = path.stem.split("-")
        if machine != "any" and not machine.endswith(platform.machine()):
            return f"{path} is for another processor than {platform.machine()}"
        if abi != "abi3" and python.startswith("cp") and python != f"cp{here.replace('.', '')}":
            return f"{path} is for another Python: fetch them with --python {here}"
        if not _is_whole(path):
            return f"{path} is damaged: carry it here again"
    return ""


def lacking(wheels: Path) -> list[str]:
    """Return the packages that the parts import, and that are neither here nor carried here."""
    carried = {_name(path) for path in _carried(wheels)}
    return [name for name in IMPORTED if name.lower() not in carried and not _is_there(name)]


def unpack_missing(wheels: Path, site: Path) -> list[str]:
    """Unpack the wheels of packages that this Python lacks; return the packages' names.

    Args:
        wheels: Holds a folder of wheels for each lot that was carried here.
        site: Where they are unpacked.
    """
    missing = [name for name in map(_name, _carried(wheels)) if not _is_there(name)]
    for path in _carried(wheels):
        if _name(path) in missing:
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(site)
    return missing


def _carried(wheels: Path) -> list[Path]:
    return sorted(wheels.rglob("*.whl"))


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as wheel:
            return wheel.testzip() is None
    except (OSError, zipfile.BadZipFile, zlib.error):
        return False


def _name(path: Path) -> str:
    return path.name.split("-")[0].lower()


def _is_there(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def fetch(python: str, folder: Path) -> None:
    """Download every lot into a folder of its own.

    Raises:
        CalledProcessError: If pip cannot.
    """
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    for lot in sorted({lot for lot, _ in listed()}):
        wanted = [requirement for of, requirement in listed() if of == lot]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", python, *platforms]
        subprocess.run([*command, "--dest", str(folder / lot), *wanted], check=True)


def main() -> None:
    """Fetch, and print what each lot weighs."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.wheels", description=__doc__)
    parser.add_argument("verb", choices=("fetch",))
    parser.add_argument("--python", default=f"3.{sys.version_info.minor}", help="its version there")
    parser.add_argument("--folder", type=Path, default=WHEELS)
    given = parser.parse_args()
    try:
        fetch(given.python, given.folder)
    except subprocess.CalledProcessError:
        sys.exit(f"pip could not fetch them for Python {given.python}: it says why above")
    for lot in sorted(given.folder.iterdir()):
        weight = sum(path.stat().st_size for path in lot.glob("*.whl"))
        print(f"{lot}: {len(list(lot.glob('*.whl')))} wheels, {weight / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
