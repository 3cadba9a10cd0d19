"""Rows as text: never wider than the terminal, nothing of them lost in CSV and JSON."""

import csv
import io
import json
import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from bench.commands._rows import formatted, table
from bench.core.terminal import columns_of

CELLS = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(max_size=40), st.lists(st.integers(), max_size=3)
)
ROWS = st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n)))


@given(ROWS, st.integers(20, 120))
def test_a_table_fits(rows: list[list[object]], width: int) -> None:
    columns = [f"c{index}" for index in range(len(rows[0]) if rows else 1)]
    for line in table(columns, rows, width).splitlines():
        assert columns_of(line) <= width
        assert line.isprintable()


def test_a_narrow_terminal_shows_a_value_a_line() -> None:
    columns, row = [f"column {index}" for index in range(9)], list(range(9))
    lines = table(columns, [row, row], 40).splitlines()
    assert lines[:2] == ["column 0  0", "column 1  1"]
    assert len(lines) == 9 + 1 + 9


def test_wide_letters_and_long_cells() -> None:
    lines = table(["名", "n"], [["模型" * 20, 1], ["ab", 22]], 24).splitlines()
    assert [columns_of(line) for line in lines] == [24, 24, 24, 24]
    assert "…" in lines[2]
    assert lines[3].endswith("22")


@given(ROWS)
def test_csv_and_json_keep_everything(rows: list[list[object]]) -> None:
    columns = [f"c{index}" for index in range(len(rows[0]) if rows else 1)]
    back = list(csv.reader(io.StringIO(formatted("csv", columns, rows), newline="")))
    assert len(back) == len(rows) + 1
    for cells, row in zip(back[1:], rows, strict=True):
        for cell, value in zip(cells, row, strict=True):
            if isinstance(value, str):
                assert cell == value
    objects = json.loads(formatted("json", columns, rows))
    for each, row in zip(objects, rows, strict=True):
        for name, value in zip(columns, row, strict=True):
            if isinstance(value, float):
                assert each[name] == (value if math.isfinite(value) else None)
            else:
                assert each[name] == value


@pytest.mark.parametrize("text", ["a|b", "<b>", "[x](y)", "`c`", "*d*"])
def test_markdown_shows_the_text_itself(text: str) -> None:
    *_, line = formatted("md", ["a"], [[text]]).splitlines()
    assert line.count("|") - line.count("\\|") == 2
    for sign in "<>[]`*":
        assert line.count(sign) == line.count(f"\\{sign}")
