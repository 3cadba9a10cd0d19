"""What a caption must be: one printable line of bounded length that names what it is about.

A caption names its class if one of the class's spellings (the class name, its prompt name, or a
text of the task's query for it) is in it word by word: whatever lies between words counts as one
space, and case, accents and typographic variants are normalized, as in retrieval by
``matcher=phrase``. Texts that a query asks for besides (flower, for the class rose) are not asked
for: a caption that was written to order does not mean something else by the name. So with a concept
that is no class. A caption of which nobody knows what it is about need not name anything.
"""

from collections.abc import Sequence

import polars as pl

from bench.core.task import NO_LABEL, Query, Task
from bench.plugins.captions import Caption, Concept
from sources.pool.matcher import CaptionMatcher

MAX_LENGTH = 300
"""Characters of a caption: what Stable Diffusion's text encoder reads, 77 tokens of about four."""


class CaptionCheck:
    """The check of captions about some concepts.

    Args:
        task: The task whose images are wanted.
        concepts: What captions may be about.

    Raises:
        RequestError: If a concept has no name that could be looked for.
    """

    def __init__(self, task: Task, concepts: Sequence[Concept]) -> None:
        spellings: dict[str, tuple[str, ...]] = {}
        for concept in concepts:  # Lists may have one name several times.
            known = spellings.get(concept.name, ())
            spellings[concept.name] = tuple(dict.fromkeys((*known, *concept.spellings)))
        self._class_names = task.class_names
        self._places = {name: place for place, name in enumerate(spellings)}
        named = Task(
            name=task.name,
            version=task.version,
            class_names=tuple(spellings),
            templates=task.templates,
            domain_texts=task.domain_texts,
            queries={name: Query(any=texts) for name, texts in spellings.items()},
        )
        self._matcher = CaptionMatcher(named, "phrase")

    def faults(self, captions: Sequence[Caption]) -> list[str | None]:
        """Return what is wrong with each caption; None for nothing."""
        texts = pl.Series([caption.text for caption in captions], dtype=pl.String)
        found = set(self._matcher.find(texts).select("row", "label").iter_rows())
        faults = []
        for row, caption in enumerate(captions):
            name = concept_name(caption, self._class_names)
            named = not name or (row, self._places.get(name)) in found
            faults.append(form_fault(caption.text) or (None if named else "class unnamed"))
        return faults


def concept_name(caption: Caption, class_names: Sequence[str]) -> str:
    """Return the name of what a caption is about; nothing if that is not known."""
    return caption.concept if caption.label == NO_LABEL else class_names[caption.label]


def form_fault(text: str) -> str | None:
    """Return what is wrong with a text whatever its class is; None for nothing."""
    if not text.strip():
        return "empty"
    if len(text) > MAX_LENGTH:
        return "too long"
    if not text.isprintable():
        return "not one printable line"
    return "no caption alone" if "=>" in text else None
