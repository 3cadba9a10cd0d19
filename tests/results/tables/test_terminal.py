"""Tables fit a terminal, whatever is in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.paths import Home
from bench.core.terminal import columns_of
from results.database import queries
from results.tables import text
from results.tables.sheet import Kind, Sheet
from results.tables.terminal import as_text
from tests.support.records import STUDY, collected, score, write_run

WIDE = Sheet(
    "A title",
    ["images", "a long name of a column", "first", "second", "third"],
    ["text", "prose", "number", "number", "right"],
    [["retrieved", "several words that may be wrapped", "9.5", "100.25", "1k"],
     ["飞机" * 20, "x" * 60, "< 0.001", "-3.1", "31.25k"]],
    note="What to know.",
)  # fmt: skip

KINDS: list[Kind] = ["text", "prose", "right", "number"]


def widest(shown: str) -> int:
    return max((columns_of(line) for line in shown.splitlines()), default=0)


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert widest(as_text(WIDE, width)) <= width


def test_points_stand_below_each_other() -> None:
    head, first, second = as_text(WIDE._replace(note="", title=""), 300).splitlines()
    at = head.index("second") + len("second") - len("100.25")
    assert columns_of(first[: first.index("100.25")]) + 3 == at + 3
    before = second[: second.index("-3.1") + len("-3")]
    assert columns_of(before) == columns_of(first[: first.index("100.25") + len("100")])


def test_columns_of_numbers_without_room_come_below_with_the_names_again() -> None:
    narrow = WIDE._replace(rows=[["a", "b", "1.0", "2.0", "3"]], head=["one", "two", *"xyz"])
    shown = as_text(narrow, 16).splitlines()
    assert [line.split() for line in shown if line.startswith("a")] == [
        ["a", "b", "1.0"], ["a", "b", "2.0", "3"],
    ]  # fmt: skip


tables = st.integers(1, 5).flatmap(
    lambda columns: st.tuples(
        st.lists(st.sampled_from(KINDS), min_size=columns, max_size=columns),
        st.lists(
            st.lists(st.text("ab 1.-飞e", max_size=40), min_size=columns, max_size=columns),
            max_size=4,
        ),
    )
)


@given(tables, st.integers(20, 120))
def test_every_letter_is_shown_within_the_width(
    made: tuple[list[Kind], list[list[str]]], width: int
) -> None:
    kinds, rows = made
    columns = [(f"c{at}", kind) for at, kind in enumerate(kinds)]
    sheet = Sheet.of("", columns, rows)
    shown = as_text(sheet, width)
    for row in sheet.rows:
        for cell in row:
            for letter in "abe飞1":
                assert cell.count(letter) <= shown.count(letter)
    if all(kind in ("text", "prose") for kind in sheet.kinds) and len(kinds) < 3:
        assert widest(shown) <= width


def test_evaluators_that_have_no_room_side_by_side_come_one_by_one(home: Home) -> None:
    scores = [score("val", 0.5), score("test", 0.5), score("test", 0.4, "zero-shot")]
    write_run(home, "retrieved", 1_000, scores=scores)
    with collected(home) as connection:
        means = queries.scaling(connection, STUDY)
    assert len(text(means, 98).splitlines()) == 3
    narrow = text(means, 60)
    assert widest(narrow) <= 60
    assert "linear-probe accuracy\n" in narrow
    assert "zero-shot accuracy\n" in narrow
    for shown in ("50.0 [43.0, 57.0]", "40.0 [33.0, 47.0]"):
        assert shown in narrow
