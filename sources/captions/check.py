"""What a caption must be: one printable line of bounded length that names its class.

A caption names its class if one of the class's spellings (the class name, its prompt name, or a
text of the task's query for it) is in it word by word: whatever lies between words counts as one
space, and case, accents and typographic variants are normalized, as in retrieval by
``matcher=phrase``. Texts that a query asks for besides (flower, for the class rose) are not asked
for: a caption that was written to order does not mean something else by the name.
"""

from collections.abc import Sequence

import msgspec
import polars as pl

from bench.core.task import Query, Task
from bench.plugins.captions import Caption
from sources.pool.matcher import CaptionMatcher

MAX_LENGTH = 300
"""Characters of a caption: what Stable Diffusion's text encoder reads, 77 tokens of about four."""


class CaptionCheck:
    """The check of a task's captions.

    Args:
        task: The task whose classes are to be named.

    Raises:
        RequestError: If a class has no name that could be looked for.
    """

    def __init__(self, task: Task) -> None:
        spellings = {
            name: Query(any=(*task.query(name).any, name, task.prompt_name(name)))
            for name in task.class_names
        }
        self._matcher = CaptionMatcher(msgspec.structs.replace(task, queries=spellings), "phrase")

    def faults(self, captions: Sequence[Caption]) -> list[str | None]:
        """Return what is wrong with each caption; None for nothing."""
        matches = self._matcher.find(
            pl.Series([caption.text for caption in captions], dtype=pl.String)
        )
        named = set(matches.select("row", "label").iter_rows())
        return [
            form_fault(caption.text) or (None if (row, caption.label) in named else "class unnamed")
            for row, caption in enumerate(captions)
        ]


def form_fault(text: str) -> str | None:
    """Return what is wrong with a text whatever its class is; None for nothing."""
    if not text.strip():
        return "empty"
    if len(text) > MAX_LENGTH:
        return "too long"
    if not text.isprintable():
        return "not one printable line"
    return "no caption alone" if "=>" in text else None
