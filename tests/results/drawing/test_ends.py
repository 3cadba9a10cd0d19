"""Where names at the ends of lines stand."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.drawing.ends import spread

LABELS = st.lists(st.tuples(st.floats(0, 100), st.floats(1, 12)), min_size=1, max_size=8)


@given(LABELS)
def test_no_two_overlap_and_all_are_in_the_room(labels: list[tuple[float, float]]) -> None:
    wanted, heights = zip(*labels, strict=True)
    middles = spread(wanted, heights, 100)
    boxes = sorted((m - h / 2, m + h / 2) for m, h in zip(middles, heights, strict=True))
    assert boxes[0][0] >= -1e-9
    assert boxes[-1][1] <= 100 + 1e-9
    assert all(lower[1] <= upper[0] + 1e-9 for lower, upper in pairwise(boxes))


@given(LABELS)
def test_their_order_is_that_of_the_lines(labels: list[tuple[float, float]]) -> None:
    wanted, heights = zip(*labels, strict=True)
    middles = spread(wanted, heights, 100)
    order = sorted(range(len(labels)), key=lambda place: wanted[place])
    assert all(middles[lower] < middles[upper] for lower, upper in pairwise(order))


def test_what_has_room_stays_where_it_is() -> None:
    assert spread([80, 20, 50], [10, 10, 10], 100) == [80, 20, 50]


def test_what_would_overlap_is_stacked_around_its_mean() -> None:
    assert spread([50, 50], [10, 10], 100) == [45, 55]
    assert spread([100, 100], [10, 10], 100) == [85, 95]
    assert spread([49, 52, 20], [10, 10, 4], 100) == pytest.approx([45.5, 55.5, 20])
