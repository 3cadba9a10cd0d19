"""Errors are one line, and suggest the nearest name."""

from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import BenchError, unknown_name


@given(st.text(), st.text())
def test_an_error_is_one_line(what: str, fix: str) -> None:
    assert len(str(BenchError(what, fix)).splitlines()) <= 1


def test_a_near_miss_is_suggested_and_a_far_one_gets_the_list() -> None:
    assert "did you mean retrieved?" in str(unknown_name("source", "retreived", ["retrieved"]))
    assert "there are: a, b" in str(unknown_name("source", "zzz", ["b", "a"]))
