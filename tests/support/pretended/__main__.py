"""Run a module with the pretended card: `python -m tests.support.pretended MODULE [ARGUMENT ...]`.

Needs a C compiler, for the few functions that torch asks of CUDA's libraries.
"""

import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

READY = "PRETENDED_CARD"


def main() -> None:
    """Start again with the pretended libraries, or run the module."""
    if READY in os.environ:
        from tests.support.pretended import card

        card.install()
        _end_at_once(_run(sys.argv[1:]))
    source = Path(__file__).with_name("runtime.c")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "libcuda.so.1"
        named = f"-Wl,-soname,{library.name}"
        subprocess.run(["cc", "-shared", "-fPIC", named, "-o", library, source], check=True)
        command = [sys.executable, "-W", "ignore", "-m", "tests.support.pretended", *sys.argv[1:]]
        environment = {"LD_PRELOAD": str(library), "LD_LIBRARY_PATH": folder, READY: "1"}
        ended = subprocess.run(command, env={**os.environ, **environment}, check=False)
    sys.exit(ended.returncode)


def _run(arguments: list[str]) -> int:
    """Run a module and return its exit code."""
    sys.argv = arguments
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _end_at_once(code: int) -> None:
    """End this process without Python's clearing up.

    Autograd's threads for the card hold Python objects; one that lets go of them while Python ends
    aborts the process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
