"""Help, and the names that it leads to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import commands
from tests.conftest import Bench, command, environment

HEAVY = ("torch", "open_clip", "diffusers", "transformers", "duckdb", "matplotlib", "polars",
         "pandas", "submitit", "PIL", "numpy", "msgspec", "yaml")  # fmt: skip
FILES = Path(commands.__path__[0]).glob("[!_]*.py")
COMMANDS = [path.stem.removesuffix("_").replace("_", "-") for path in FILES]


def test_help_is_quick_and_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom bench.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as left: assert not left.code\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    seconds = []
    for _ in range(3):
        before = os.times()
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment(tmp_path), capture_output=True, text=True, check=True,
        )  # fmt: skip
        after = os.times()
        seconds.append(sum(after[2:4]) - sum(before[2:4]))
        assert done.stderr.strip() == "[]"
    # Processor time of the child: other work on the machine does not count.
    assert min(seconds) < 0.5


def test_every_command_is_there_and_has_help(bench: Bench) -> None:
    listed = bench("--help").out
    assert bench().out == listed
    for name in COMMANDS:
        assert f"\n  {name} " in listed
        done = bench(name, "--help")
        assert (done.code, done.err) == (0, "")
        assert f"Usage: bench {name}" in done.out


KINDS = ("tasks", "sources", "writers", "objectives", "evaluators", "presets")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_listed_can_be_shown(bench: Bench, kind: str) -> None:
    names = bench("list", kind).out.split()
    assert names
    for name in names:
        done = bench("show", name)
        assert (done.code, done.err) == (0, "")
        assert done.out.strip()


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("list", "tasks"),
        env=environment(tmp_path), stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writer)
    assert done.stderr == b""
