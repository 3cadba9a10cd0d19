"""Check and measure the harness on a CUDA GPU, without a network: `python -m tests.gpu [PART ...]`.

Needs Python 3.11 and a CUDA torch of 2.9, with its torchvision; what else is missing is unpacked
from a folder of wheels (`python -m tests.gpu.wheels fetch`) and touches no environment. Each part
is a process with a time budget, so that none can take the others' figures with it.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.gpu.table import table
from tests.gpu.wheels import WHEELS, lacking, unpack_missing, unusable

PARTS = {"ceilings": 20, "train": 100, "contrastive": 10}
PARTS |= {"generate": 110, "embed": 40, "probe": 50, "miniworld": 30}
"""Each part's budget: seconds on an H100, 6 minutes together."""

NAMED = {"train_compiled": 100, "generate_compiled": 150}
"""Budgets of parts that run only where they are named."""

PATIENCE = {"cuda": 3, "cpu": 20}
"""A part is ended after so many times its budget: other cards are slower, and a CPU more so."""

INTERRUPTED = "interrupted"

Line = dict[str, Any]


def main() -> int:
    """Run the parts; return 1 if one failed or a check does not hold."""
    known = PARTS | NAMED
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    names = f"of {', '.join(known)}; without any, all but {', '.join(NAMED)}"
    parser.add_argument("parts", nargs="*", metavar="PART", help=names)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="every line on the smallest sizes")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--wheels", type=Path, default=WHEELS, help="folder of fetched wheels")
    given = parser.parse_args()
    if why := refusal(given):
        parser.error(why)
    report: Line = {"commit": commit(), "date": time.strftime("%Y-%m-%d", time.gmtime())}
    report |= {"driver": driver(), "device": given.device, "tiny": given.tiny}
    report["parts"] = earlier_parts(given.out, report)
    # What ends a job early is taken like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        environment = prepared(given.wheels, Path(folder))
        try:
            for name in given.parts or PARTS:
                print(f"{name} …", file=sys.stderr, flush=True)
                report["parts"][name] = run(name, given, environment, Path(folder))
                write(given.out, report)
                if report["parts"][name]["failure"] == INTERRUPTED:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            print(table(report))
            return 130
        except OSError as error:  # A disk that became full.
            print(table(report))
            print(f"{given.out} was not written: {error.strerror}", file=sys.stderr)
            return 1
    print(table(report))
    return 0 if all(report["parts"][name]["passed"] for name in given.parts or PARTS) else 1


def refusal(given: argparse.Namespace) -> str:
    """Return why what is asked for cannot be, and the remedy; empty if it can."""
    known = PARTS | NAMED
    if unknown := sorted(set(given.parts) - set(known)):
        return f"there is no part {unknown[0]!r}; choose from {', '.join(known)}"
    if given.out.is_dir():
        return f"{given.out} is a folder; name a file"
    try:
        write(given.out.with_name(f".{given.out.name}.begun"), {}).unlink()
    except OSError as error:
        return f"{given.out} cannot be written: {error.strerror}"
    if given.device == "cuda" and not driver():
        return "nvidia-smi names no GPU here; --device cpu --tiny tries every line without"
    if why := too_old() or unusable(given.wheels):
        return why
    if set(given.parts or PARTS) != {"ceilings"} and (names := lacking(given.wheels)):
        return f"without {', '.join(names)} only ceilings can run; carry wheels here: docs/gpu.md"
    return no_cuda() if given.device == "cuda" else ""


def no_cuda() -> str:
    """Return why torch cannot use the card, such as an older driver; empty if it can."""
    asked = [sys.executable, "-c", "import torch; torch.cuda.init()"]
    ended = subprocess.run(asked, capture_output=True, text=True, check=False)
    told = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
    return f"torch cannot use the card: {told[-1]}" if ended.returncode else ""


def too_old() -> str:
    """Return what this Python lacks; empty if nothing that wheels could not bring."""
    if sys.version_info < (3, 11):  # noqa: UP036 (nothing was installed here)
        return f"{sys.executable} is older than Python 3.11; give another: make gpu PYTHON=…"
    try:
        torch = version("torch")
    except PackageNotFoundError:
        return f"{sys.executable} has no torch; give another: make gpu PYTHON=…"
    number = tuple(map(int, re.findall(r"\d+", torch)[:2]))
    return "" if number >= (2, 9) else f"torch {torch} is older than 2.9"


def prepared(wheels: Path, folder: Path) -> dict[str, str]:
    """Return the parts' environment; packages that are missing are unpacked into the folder."""
    site = folder / "site"
    unpack_missing(wheels, site)
    paths = [str(Path.cwd()), os.environ.get("PYTHONPATH", ""), str(site)]
    return {
        "OMP_WAIT_POLICY": "PASSIVE",  # As `bench` sets it.
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        # A compilation starts from nothing, and leaves nothing behind.
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
        "HF_HUB_OFFLINE": "1",
    }


def earlier_parts(path: Path, report: Line) -> Line:
    """Return the parts of an earlier report, if it is of the same code and machine."""
    if not path.exists() or not report["commit"] or report["commit"].endswith("dirty"):
        return {}
    try:
        earlier: Line = json.loads(path.read_text(encoding="utf-8"))
        same = all(earlier[key] == report[key] for key in ("commit", "driver", "device", "tiny"))
        parts: Line = earlier["parts"]
    except (OSError, ValueError, TypeError, LookupError):
        return {}  # It is no report.
    return parts if same else {}


def run(name: str, given: argparse.Namespace, environment: dict[str, str], folder: Path) -> Line:
    """Run a part, and return what it reported, how it ended and what it took."""
    out, own = folder / f"{name}.jsonl", folder / name
    own.mkdir()
    command = [sys.executable, "-m", "tests.gpu.worker", name, given.device, str(out), str(own)]
    command += ["--tiny"] if given.tiny else []
    budget = (PARTS | NAMED)[name]
    limit, start, why = PATIENCE[given.device] * budget, time.monotonic(), None
    try:
        ended = subprocess.run(command, env=environment, timeout=limit, check=False)
        why = f"ended with exit status {ended.returncode}" if ended.returncode else None
    except subprocess.TimeoutExpired:
        why = f"ended after {limit} s: its budget is {budget} s on an H100"
    except KeyboardInterrupt:
        why = INTERRUPTED
    told = out.read_text(encoding="utf-8").splitlines(keepends=True) if out.exists() else []
    lines = [json.loads(line) for line in told if line.endswith("\n")]  # A kill may cut the last.
    holds = all(line["holds"] for line in lines if line["kind"] == "Check")
    return {
        "seconds": round(time.monotonic() - start, 1),
        "budget": budget,
        "failure": why,
        "passed": holds and why is None,
        "results": lines,
    }


def write(path: Path, report: Line) -> Path:
    """Write the report whole, and return its path: a kill leaves the one before."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return partial.replace(path)


def commit() -> str:
    """Return the commit, marked if files differ from it; empty outside of a repository."""
    told = ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    return _said(told)


def driver() -> str:
    """Return the driver's version, which all cards share; empty without one."""
    return _said(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])


def _said(command: list[str]) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return ended.stdout.strip().split("\n")[0] if ended.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main())
