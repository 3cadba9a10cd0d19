"""How wide a table may be on a user's terminal."""

import shutil

from results.wording import WIDTH


def terminal_width() -> int:
    """Return the terminal's columns; those of a file where there is none."""
    return shutil.get_terminal_size((WIDTH, 24)).columns
