"""Sizes are read as people write them, and written in the shortest form that reads back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import RequestError
from bench.core.size import format_size, parse_size


@given(st.integers(1, 10**12))
def test_a_formatted_size_reads_back(count: int) -> None:
    assert parse_size(format_size(count)) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("500", 500), ("31.25k", 31_250), ("2.5M", 2_500_000), ("1b", 10**9),
        (" 10_000 ", 10_000), ("1e3", 1000), ("all", None), ("ALL", None),
    ],
)  # fmt: skip
def test_sizes_read_as_people_write_them(text: str, count: int | None) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "all"), (1, "1"), (999, "999"), (31_250, "31.25k"), (250_000, "250k"), (10**6, "1M")],
)
def test_sizes_are_written_shortly(count: int | None, text: str) -> None:
    assert format_size(count) == text


@pytest.mark.parametrize(
    "text",
    ["", " ", "k", "0", "-5", "1.5", "0.0001k", "ten", "nan", "inf", "snan", "1e999999999k", "2T"],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="is not a number of images"):
        parse_size(text)


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_a_request_error(text: str) -> None:
    try:
        count = parse_size(text)
    except RequestError:
        return
    assert count is None or count >= 1
