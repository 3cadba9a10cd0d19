"""Help, and the names that it leads to."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bench import cli, commands
from tests.conftest import Bench, command, environment

HEAVY = ("torch", "open_clip", "diffusers", "transformers", "duckdb", "matplotlib", "polars",
         "pandas", "submitit", "PIL", "numpy", "msgspec", "yaml")  # fmt: skip
FILES = Path(commands.__path__[0]).glob("[!_]*.py")
Named = tuple[tuple[str, ...], click.Command]
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


def test_no_summary_is_cut(bench: Bench) -> None:
    """A summary is the whole first sentence of what the command says of itself."""
    for group in ((), ("images",), ("miniworld",), ("task",)):
        listed = " ".join(bench(*group, "--help").out.partition("Commands:")[2].split())
        assert listed
        assert "…" not in listed
        assert "..." not in listed
    whole = (
        "Download a model's weights, a task's images, which are then checked, or a pool's files."
    )
    assert whole in " ".join(bench("--help").out.split())


def every_command(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[Named]:
    """Yield every command with the words that call it, those of groups too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield (*path, name), found
        if isinstance(found, click.Group):
            yield from every_command(found, (*path, name))


ALL = dict(every_command(cli.bench))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_option_and_argument_is_explained(words: tuple[str, ...]) -> None:
    text = " ".join((ALL[words].help or "").split())
    assert text
    for parameter in ALL[words].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.opts} of {words}"
        else:
            name = parameter.make_metavar(click.Context(ALL[words])).strip("[]. ")
            explained = name.partition("|")[0] in text or isinstance(parameter.type, click.Choice)
            assert explained, f"{name} of {words}"


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("list", "tasks"),
        env=environment(tmp_path), stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writer)
    assert done.stderr == b""
