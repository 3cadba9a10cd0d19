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
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        return
    source = Path(__file__).with_name("runtime.c")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "libcuda.so.1"
        named = f"-Wl,-soname,{library.name}"
        subprocess.run(["cc", "-shared", "-fPIC", named, "-o", library, source], check=True)
        command = [sys.executable, "-W", "ignore", "-m", "tests.support.pretended", *sys.argv[1:]]
        environment = {"LD_PRELOAD": str(library), "LD_LIBRARY_PATH": folder, READY: "1"}
        ended = subprocess.run(command, env={**os.environ, **environment}, check=False)
    sys.exit(ended.returncode)


if __name__ == "__main__":
    main()
