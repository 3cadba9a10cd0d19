"""How sentences spell numbers and break lines."""

import pytest

from results.wording import p_values, points, sign_of, wrapped


def test_lines_end_neither_within_a_number_and_its_unit_nor_at_a_hyphen() -> None:
    text = "a data-equivalence ratio at n = 1.28k of 62.4 %, by 3.2 points, p < 0.001"
    for width in range(12, 60):
        lines = wrapped(text, width, bullet="- ").split("\n")
        assert " ".join(line[2:] for line in lines) == text
        for line in lines[1:]:
            assert not line.strip().startswith(("%", "points", "=", "<", "1.28k", "0.001", "equiv"))


@pytest.mark.parametrize(
    ("low", "high", "sign"),
    [(0.01, 0.02, 1), (-0.02, -0.01, -1), (-1e-17, 0.1, 0), (1e-17, 0.1, 0), (-0.1, -1e-17, 0)],
)
def test_no_verdict_hangs_on_how_a_sum_was_rounded(low: float, high: float, sign: int) -> None:
    assert sign_of(low, high) == sign
    assert points(-1e-5) == "+0.0 points"


def test_p_values_of_seeds_are_a_range() -> None:
    assert p_values([0.04]) == "0.040"
    assert p_values([0.2, 0.0001, 0.04]) == "< 0.001 to 0.200"
