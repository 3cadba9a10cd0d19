"""Scores have the digits that their intervals give a meaning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.paths import Home
from results.database import queries
from results.digits import MOST, decimals
from results.tables import readable
from tests.support.records import STUDY, collected, score, write_run


@pytest.mark.parametrize(
    ("half_widths", "digits"),
    [([2.0], 1), ([7.0, 1.0], 1), ([0.99], 2), ([0.4, 2.0], 2), ([0.04], 3), ([1e-9], 3),
     ([20.0], 1), ([0.0, float("nan")], 1), ([], 1)],
)  # fmt: skip
def test_one_digit_more_than_the_half_width_needs(half_widths: list[float], digits: int) -> None:
    assert decimals(half_widths) == digits


@given(st.floats(0.01, 50), st.floats(0, 100))
def test_rounding_moves_a_number_by_a_twentieth_of_its_interval_at_most(
    half_width: float, value: float
) -> None:
    digits = decimals([half_width])
    assert digits == MOST or abs(round(value, digits) - value) <= half_width / 20 + 1e-12


def test_a_large_test_split_has_more_digits_than_a_small_one(home: Home) -> None:
    narrow = score("test", 0.68301, "zero-shot")
    narrow = type(narrow)(**{
        **{name: getattr(narrow, name) for name in narrow.__struct_fields__},
        "ci_low": 0.67894, "ci_high": 0.68707,
    })  # fmt: skip
    write_run(home, "retrieved", 500, scores=[score("val", 0.5), score("test", 0.5), narrow])
    with collected(home) as connection:
        (row,) = readable(queries.scaling(connection, STUDY)).to_dict("records")
    assert row["linear-probe accuracy"] == "50.0 [43.0, 57.0]"
    assert row["zero-shot accuracy"] == "68.30 [67.89, 68.71]"
