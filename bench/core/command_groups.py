"""Help that is not cut: a list of commands with the whole first sentence of each."""

import sys

import click


class Group(click.Group):
    """Commands whose summaries are whole."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every command with its summary, wrapped."""
        names = self.list_commands(ctx)
        commands = {name: command for name in names if (command := self.get_command(ctx, name))}
        rows = [
            (name, command.get_short_help_str(limit=sys.maxsize))
            for name, command in commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
