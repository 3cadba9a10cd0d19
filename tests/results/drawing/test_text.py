"""Text that fits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.drawing.text import fit_names, fitted, width

NAMES = st.lists(
    st.text("abc -_/\u822a", min_size=1, max_size=70), min_size=1, max_size=6, unique=True
)


@settings(max_examples=40)
@given(NAMES, st.floats(0.5, 3), st.integers(1, 3))
def test_names_fit_and_differ(names: list[str], room: float, lines: int) -> None:
    fit = fit_names(names, 7, room, lines)
    for text in fit.shown.values():
        assert width(text, 7) <= room + 1e-9
        assert text.count("\n") < lines
    assert len(set(fit.shown.values())) == len(names)
    assert set(fit.key.values()) <= set(names)


def test_what_fits_is_left_alone() -> None:
    assert fitted("retrieved", 7, 2, 1) == "retrieved"
    assert fit_names(["retrieved", "synthetic"], 7, 2).key == {}


def test_lines_break_between_words() -> None:
    assert fitted("mixed 0.5:0.5 of both", 7, 0.7, 2).split("\n") == ["mixed 0.5:0.5", "of both"]


def test_a_long_name_keeps_both_ends() -> None:
    text = fitted("photographs/" * 9 + "end", 7, 1, 1)
    assert text.startswith("phot")
    assert text.endswith("end")
    assert "…" in text


@pytest.mark.parametrize("text", ["\u822a\u7a7a\u6a5f" * 20, "x" * 200, "$x_1$" * 40])
def test_what_has_no_spaces_fits(text: str) -> None:
    shown = fitted(text, 7, 1.2, 2)
    assert width(shown, 7) <= 1.2
    assert shown.count("\n") < 2
