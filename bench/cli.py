"""The command line: ``bench COMMAND``; a command is a file in ``bench/commands``.

Exit codes: 0 done, 1 the run failed, 2 the request was wrong, 130 interrupted. Errors are one
line on standard error.
"""

import errno
import importlib.util
import pkgutil
import sys

import click

from bench import commands
from bench.errors import BenchError
from bench.layout import strangers

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Commands(click.Group):
    """The commands, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        found = (module.name for module in pkgutil.iter_modules(commands.__path__))
        return sorted(name.removesuffix("_") for name in found if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        # `list` is a builtin, so its file is list_.py.
        for name in (cmd_name, f"{cmd_name}_"):
            if importlib.util.find_spec(f"bench.commands.{name}"):
                module = importlib.import_module(f"bench.commands.{name}")
                command: click.Command = module.command
                return command
        return None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="retrieved-or-generated")
def bench() -> None:
    """Adapt CLIP with generated or with retrieved images, and see which is better.

    \b
    Try:  bench demo
          bench run --preset mini --source synthetic --task aircraft --n 500
          bench run --source synthetic --task aircraft --n 250k
    """  # noqa: D301


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    try:
        if found := strangers():
            raise BenchError(found[0], "install this project in an environment of its own")
        sys.exit(bench.main(arguments, prog_name="bench", standalone_mode=False) or 0)
    except BenchError as error:
        _leave(str(error), error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "bench"
        _leave(f"{error.format_message()}; see `{command} --help`", 2)
    except (click.Abort, KeyboardInterrupt):
        _leave("interrupted; the same command continues", 130)
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        what = f"the disk is full ({error.filename or error.strerror})"
        _leave(f"{what}; free some space, then the same command continues", 1)


def _leave(message: str, code: int) -> None:
    print(f"bench: error: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
