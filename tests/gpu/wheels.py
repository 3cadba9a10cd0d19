"""Packages for a machine without a network: `python -m tests.gpu.wheels fetch [--python 3.12]`.

`wheels.txt` lists them, in two lots below 50 MB each, because some transfers are limited. `fetch`
needs a network; what it fetched is carried to the machine, and `unpack_missing` does the rest.
"""

import argparse
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

WHEELS = Path(".wheels")
LIST = Path(__file__).with_name("wheels.txt")
PLATFORMS = [f"manylinux{tag}_x86_64" for tag in ("_2_28", "_2_27", "_2_17", "2014", "1")]


def listed() -> list[tuple[str, str]]:
    """Return the lot and the requirement, such as ``polars==2.1.0``, of each wheel."""
    rows = [line.split("#")[0].split() for line in LIST.read_text().splitlines()]
    return [(row[0], row[1]) for row in rows if row]


def unusable(wheels: Path) -> str:
    """Return why a wheel is of no use to this Python, and the remedy; empty if all are."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    for path in sorted(wheels.glob("*/*.whl")):
        *_, python, abi, _ = path.stem.split("-")
        if abi != "abi3" and python.startswith("cp") and python != f"cp{here.replace('.', '')}":
            return f"{path} is for another Python: fetch them with --python {here}"
        if not zipfile.is_zipfile(path):
            return f"{path} is damaged: carry it here again"
    return ""


def unpack_missing(wheels: Path, site: Path) -> list[str]:
    """Unpack the wheels of packages that this Python lacks; return the packages' names.

    Args:
        wheels: Holds a folder of wheels for each lot that was carried here.
        site: Where they are unpacked.
    """
    missing = [name for name in map(_name, sorted(wheels.glob("*/*.whl"))) if not _is_there(name)]
    for path in sorted(wheels.glob("*/*.whl")):
        if _name(path) in missing:
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(site)
    return missing


def _name(path: Path) -> str:
    return path.name.split("-")[0]


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
    fetch(given.python, given.folder)
    for lot in sorted(given.folder.iterdir()):
        weight = sum(path.stat().st_size for path in lot.glob("*.whl"))
        print(f"{lot}: {len(list(lot.glob('*.whl')))} wheels, {weight / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
