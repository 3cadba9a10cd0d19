"""The command line: ``bench COMMAND``; a command is a file in ``bench/commands``.

Exit codes: 0 done, 1 the run failed, 2 the request was wrong, 3 done, but not with every record
there is, 130 interrupted. An error is one line on standard error: what went wrong, and how to mend
it. A record that is left out is a line there, too.
"""

import errno
import importlib.util
import os
import pkgutil
import sys

import click

from bench import commands
from bench.core.command_groups import Group
from bench.core.errors import BenchError, unknown_name
from bench.core.names import check_utf8
from bench.core.terminal import escaped, keep_bars_out_of_logs
from bench.runtime import hub, threads
from bench.runtime.layout import foreign_packages

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)


class Commands(Group):
    """The commands; each is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        names = (module.name for module in pkgutil.iter_modules(commands.__path__))
        shown = (name.removesuffix("_") for name in names if not name.startswith("_"))
        return sorted(name.replace("_", "-") for name in shown)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        if cmd_name not in self.list_commands(ctx):
            raise unknown_name("command", cmd_name, self.list_commands(ctx))
        # `list` is a builtin, so its file is list_.py.
        file = cmd_name.replace("-", "_")
        has_file = importlib.util.find_spec(f"bench.commands.{file}")
        module = importlib.import_module(f"bench.commands.{file}{'' if has_file else '_'}")
        command: click.Command = module.command
        return command


@click.group(
    cls=Commands,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="retrieved-or-generated")
def bench() -> None:
    """Adapt CLIP with generated or with retrieved images, and compare.

    \b
    Try:  bench demo
          bench run --preset mini --source synthetic --task aircraft --n 500
          bench run --source synthetic --task aircraft --n 250k
    """  # noqa: D301


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    hub.stay_offline()
    threads.sleep_at_barriers()
    keep_bars_out_of_logs()
    try:
        if foreign := foreign_packages():
            raise BenchError(foreign[0], "install this project in an environment of its own")
        sys.exit(
            bench.main(
                _checked(sys.argv[1:] if arguments is None else arguments),
                prog_name="bench",
                standalone_mode=False,
            )
            or 0
        )
    except BenchError as error:
        _exit(str(error), error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "bench"
        _exit(f"{error.format_message().rstrip('.')}; see `{command} --help`", 2)
    except (click.Abort, KeyboardInterrupt):
        _exit("interrupted; the same command continues", 130)
    except Exception as error:
        if _is_disk_full(error):
            _exit("the disk is full; free some space, then the same command continues", 1)
        if isinstance(error, OSError) and error.errno in _NO_ACCESS and error.filename:
            _exit(f"no access to {error.filename}: {error.strerror}; choose another place", 2)
        raise


def _checked(arguments: list[str]) -> list[str]:
    """Return the command's words; the request for help where there are none."""
    for argument in arguments:
        check_utf8("the argument", argument)
    return arguments or ["--help"]


def _is_disk_full(error: Exception) -> bool:
    """Return whether an error means a full disk; some libraries keep only its text."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _DISK_FULL
    return any(os.strerror(code).lower() in str(error).lower() for code in _DISK_FULL)


def _exit(message: str, code: int) -> None:
    print(f"bench: error: {escaped(message)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
