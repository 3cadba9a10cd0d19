"""What a file says that it is, read without importing it."""

import ast
import re
from pathlib import Path

_SENTENCE_END = re.compile(r"(?<=\.)(?= [A-Z]|$)|(?<=\?)(?= |$)")
"""Not the stop of ``et al. 2022``."""


def documentation(path: Path) -> str:
    """Return what a file says of itself: a module's docstring, or a YAML file's first sentence.

    Args:
        path: A Python file, or a YAML file that begins with a comment.

    Returns:
        Text of one or more paragraphs; nothing where the file says nothing.
    """
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return plain(ast.get_docstring(ast.parse(text)) or "")
    comment = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return _SENTENCE_END.split(" ".join(comment), maxsplit=1)[0]


def plain(docstring: str) -> str:
    """Return a docstring as a terminal shows it: reST's double quotes are single ones."""
    return docstring.strip().replace("``", "`")


def first_line(text: str) -> str:
    """Return the first line of a text."""
    return text.partition("\n")[0]
