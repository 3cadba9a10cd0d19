"""Find quickly which captions may contain one of many texts, ASCII case ignored.

Hyperscan finds thousands of literals in one pass over the bytes of all captions, several bytes at a
time. On one core, 76 MB take 0.05 s for 100 texts and 0.2 s for 10,000; polars' Aho-Corasick takes
0.16 and 1.2 s.
"""

from collections.abc import Sequence

import hyperscan
import numpy as np
import polars as pl

CHUNK_BYTES = 2**30
"""Bytes that are searched at once; Hyperscan counts them in 32 bits."""
HEAD = 64
"""Characters of each text that are searched for; Hyperscan limits its literals."""


class Prefilter:
    """Finds captions that contain one of some texts, or at least its first `HEAD` characters."""

    def __init__(self, texts: Sequence[str]) -> None:
        literals = sorted({text[:HEAD].encode() for text in texts})
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=literals,
            ids=list(range(len(literals))),
            flags=[hyperscan.HS_FLAG_CASELESS] * len(literals),
            literal=True,
        )

    def __call__(self, captions: pl.Series) -> pl.Series:
        """Return the rows (UInt32, ascending) of captions that may contain a text."""
        table = captions.to_arrow(compat_level=pl.CompatLevel.oldest())
        _, starts, content = table.buffers()
        if content is None:
            return pl.Series([], dtype=pl.UInt32)
        offsets = np.frombuffer(starts, dtype=np.int64, count=len(table) + 1)
        ends: list[int] = []
        first = 0
        while first < len(table):
            last = int(np.searchsorted(offsets, offsets[first] + CHUNK_BYTES, side="right")) - 1
            last = max(last, first + 1)
            start, stop = int(offsets[first]), int(offsets[last])
            ends += [start + end for end in self._match_ends(memoryview(content)[start:stop])]
            first = last
        rows = np.unique(np.searchsorted(offsets, np.array(ends, dtype=np.int64)) - 1)
        return pl.Series(rows, dtype=pl.UInt32)

    def _match_ends(self, captions: memoryview) -> list[int]:
        """Return where each match ends in captions that follow one another without a gap.

        A match across a border lets one more caption pass, which may not contain the text.
        """
        ends: list[int] = []

        def on_match(_id: int, _start: int, end: int, _flags: int, _context: object) -> None:
            ends.append(end)

        self._database.scan(
            captions,  # type: ignore[type-var]  # It takes any buffer.
            match_event_handler=on_match,
        )
        return ends
