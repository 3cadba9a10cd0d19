"""Find the classes that a caption names: a task's queries under one of four matchers.

Every matcher searches for substrings, in captions and for queries that are rewritten first. The
matchers differ in how they rewrite:

    substring   normalized, without HTML entities and in lower case, no more
    word        every word (letters and digits) is put between marks
    phrase      whatever lies between words becomes one space
    all-words   as phrase, and every word of the query is searched for by itself
"""

from collections.abc import Callable
from typing import Literal

import msgspec
import polars as pl

from bench.core.errors import RequestError
from bench.core.task import Query, Task
from sources.pool.entities import unescaped, with_entities, without_entities
from sources.pool.normalize import normalize
from sources.pool.prefilter import Prefilter

Matcher = Literal["substring", "word", "phrase", "all-words"]

Queried = Literal["task", "literal"]
"""What is looked for: the task's queries, or its class names as prompts have them."""

MAX_CAPTION = 10_000
"""Characters of a caption that are read; nobody describes one image at greater length."""

_WORD = r"[\p{L}\p{M}\p{N}]+"
_GAP = r"[^\p{L}\p{M}\p{N}]+"
_MARK = "\uffff"  # No character of any text; normalizing removes it from captions.


def _words(texts: pl.Series) -> pl.Series:
    return (" " + texts + " ").str.replace_all(_GAP, " ")


_REWRITE: dict[Matcher, Callable[[pl.Series], pl.Series]] = {
    "substring": lambda texts: texts,
    "word": lambda texts: texts.str.replace_all(_WORD, f"{_MARK}${{0}}{_MARK}"),
    "phrase": _words,
    "all-words": _words,
}


class CaptionMatcher:
    """Finds the classes of a task in captions.

    Args:
        task: The task; the order of its classes makes the labels.
        matcher: How queries are compared with captions.

    Raises:
        RequestError: If a query has no letter or digit, or a NUL.
    """

    def __init__(self, task: Task, matcher: Matcher) -> None:
        self.queries = {name: task.query(name) for name in task.class_names}
        self._rewrite = _REWRITE[matcher]
        spellings = pl.DataFrame(
            [
                {"label": label, "text": text, "part": [text, *query.with_]}
                for label, (name, query) in enumerate(self.queries.items())
                for text in _texts(name, query)
            ]
        ).with_row_index("spelling")
        texts, parts = _plain(spellings["text"]), spellings.explode("part")
        needles = parts.select("spelling", self._rewrite(_plain(parts["part"])).alias("needle"))
        if matcher == "all-words":
            words = pl.col("needle").str.strip_chars().str.split(" ")
            needles = needles.with_columns(words).explode("needle")
            needles = needles.with_columns(pl.format(" {} ", "needle").alias("needle"))
        # One row per spelling and text to search for; a spelling needs all of its texts.
        self._needles = needles.unique()
        self._spellings = spellings.select(
            "spelling", "label", texts.str.len_chars().alias("length")
        ).join(self._needles.group_by("spelling").agg(needed=pl.len()), on="spelling")
        # A caption that matches contains this part of the spelling unchanged.
        fixed = texts if matcher in ("substring", "word") else _longest_words(texts)
        self._prefilter = Prefilter(fixed.to_list())

    def find(self, captions: pl.Series) -> pl.DataFrame:
        """Return the classes that captions name.

        Returns:
            One row per caption and class that it names: ``row`` (place of the caption, UInt32),
            ``label`` and ``length`` (characters of the longest spelling found), in no order.
        """
        rows = self._prefiltered(captions)
        texts = self._rewrite(_plain(captions.gather(rows).str.head(MAX_CAPTION)))
        needles = self._needles["needle"].unique().to_list()
        return (
            pl.DataFrame({"row": rows, "needle": texts.str.extract_many(needles, overlapping=True)})
            .with_columns(pl.col("needle").list.unique())
            .explode("needle", empty_as_null=False)
            .join(self._needles, on="needle")
            .group_by("row", "spelling")
            .agg(present=pl.len())
            .join(self._spellings, on="spelling")
            .filter(pl.col("present") == pl.col("needed"))
            .group_by("row", "label")
            .agg(pl.col("length").max())
        )

    def _prefiltered(self, captions: pl.Series) -> pl.Series:
        """Return the rows of captions that may name a class."""
        rows, semicolons = self._may_name(captions)
        texts = captions.gather(semicolons)
        entities = with_entities(texts)
        more, _ = self._may_name(unescaped(texts.gather(entities).str.head(MAX_CAPTION)))
        return pl.concat([rows, semicolons.gather(entities).gather(more)]).unique()

    def _may_name(self, texts: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Return the rows of texts that may name a class, and those that may have a semicolon.

        HTML entities are read as they are. Only what is not plain ASCII is normalized.
        """
        found = self._prefilter(texts)
        non_ascii = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
        normalized = normalize(texts.gather(non_ascii).str.head(MAX_CAPTION))
        more = non_ascii.gather(self._prefilter(normalized).texts)
        return pl.concat([found.texts, more]), found.semicolons


def with_queries(task: Task, queries: Queried) -> Task:
    """Return a task whose own queries are looked for, or its class names as prompts have them."""
    if queries == "task":
        return task
    return msgspec.structs.replace(task, queries=dict(task.prompt_names))


def within_words(candidates: pl.DataFrame, task: Task) -> pl.Series:
    """Return which captions name their class only with a letter or digit beside the name.

    Args:
        candidates: Columns ``caption`` and ``label``, matched by ``substring``.
        task: The task, with the queries that they were matched by.

    Returns:
        Booleans, one per row. *An-124* has the name An-12 within another word; *roses* has rose.
    """
    alone = CaptionMatcher(task, "word").find(candidates["caption"]).select("row", "label")
    rows = candidates.select(pl.col("label").cast(alone.schema["label"])).with_row_index("row")
    found = rows.join(alone.with_columns(alone=True), on=["row", "label"], how="left")
    return found.sort("row")["alone"].is_null()


def _plain(texts: pl.Series) -> pl.Series:
    return normalize(without_entities(texts)).str.to_lowercase()


def _longest_words(texts: pl.Series) -> pl.Series:
    return pl.Series([max(text.split(), key=len) for text in _words(texts)])


def _texts(name: str, query: Query) -> tuple[str, ...]:
    """Return the spellings of a class, after a check that they can be searched for."""
    for text in (*query.any, *query.with_):
        if not any(letter.isalnum() for letter in text) or "\0" in text:
            raise RequestError(
                f"the query {text!r} of class {name!r} has no letter or digit, or a NUL"
            )
    if not query.any:
        raise RequestError(f"the query of class {name!r} is empty", "give it one text or more")
    return query.any
