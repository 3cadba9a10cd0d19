"""SuperStableRep's balanced sigmoid loss, against its formula and its authors' own."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from adapt.losses.pairwise_sigmoid import pairwise_sigmoid_loss
from tests.support import loss_formulas

EXACT: dict[str, Any] = {"atol": 1e-12, "rtol": 1e-12}
GROUPS = [7, 3, 7, 5, 3, 7, 1]


def features(count: int, dim: int = 5) -> Tensor:
    """Return float64 rows of different lengths that require a gradient."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    return (rows * torch.linspace(0.5, 3, count)[:, None]).requires_grad_()


def loss_of(rows: Tensor, groups: list[int], tau: float = 0.2, **more: bool) -> Tensor:
    return pairwise_sigmoid_loss(rows, torch.tensor(groups), temperature=tau, **more)[0]


def slope(loss: Tensor, rows: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, rows)
    return gradient


@pytest.mark.parametrize("count_self", [False, True])
def test_it_is_the_formula_to_rounding_and_so_is_its_gradient(*, count_self: bool) -> None:
    rows = features(7)
    ours = loss_of(rows, GROUPS, count_self=count_self)
    plain = loss_formulas.pairwise_sigmoid(rows, GROUPS, 0.2, count_self=count_self)
    torch.testing.assert_close(ours, plain, **EXACT)
    torch.testing.assert_close(slope(ours, rows), slope(plain, rows), **EXACT)


def test_the_row_itself_is_no_negative_unless_it_is_counted() -> None:
    rows = features(24, 16)
    default, counted = (
        loss_of(rows, list(range(12)) * 2, 0.1, count_self=counted) for counted in (False, True)
    )
    assert counted < default


def test_it_is_the_sum_that_the_authors_take_of_clamped_sigmoids_where_those_do_not_saturate() -> (
    None
):
    rows, groups = features(12, 16), torch.arange(4).repeat(3)
    normal = torch.nn.functional.normalize(rows, dim=1)

    def authors(tau: float) -> Tensor:
        logits = (normal @ normal.T / tau).fill_diagonal_(-torch.inf)
        positive = (groups[:, None] == groups) & ~torch.eye(12, dtype=torch.bool)
        chances = torch.where(positive, logits.sigmoid(), 1 - logits.sigmoid())
        pairs = -chances.log().clamp(min=-100)
        count = positive.sum(1)
        attract = (pairs * positive).sum(1) / count
        return (attract + (pairs * ~positive).sum(1) / (12 - count)).mean()

    ours = loss_of(rows, groups.tolist(), 0.1, count_self=True)
    torch.testing.assert_close(ours, authors(0.1), atol=1e-10, rtol=1e-10)


def test_orthogonal_clusters_cost_what_the_closed_form_says() -> None:
    groups = [0, 0, 0, 0, 1, 1, 1, 1]
    rows = torch.eye(2, dtype=torch.float64)[torch.tensor(groups)]
    assert loss_of(rows, groups, 0.01).item() == pytest.approx(math.log(2), abs=1e-12)
    counted = loss_of(rows, groups, 0.01, count_self=True)
    assert counted.item() == pytest.approx(math.log(2) * 4 / 5, abs=1e-12)


def test_rows_without_positives_contribute_nothing_and_are_counted() -> None:
    rows = features(7)
    loss, lone = pairwise_sigmoid_loss(rows, torch.tensor(GROUPS), temperature=0.2)
    assert (lone.item(), lone.dtype, lone.requires_grad) == (2, torch.int64, False)
    assert loss > 0
    nothing, all_lone = pairwise_sigmoid_loss(rows, torch.arange(7), temperature=0.2)
    assert (nothing.item(), all_lone.item()) == (0, 7)
    assert slope(nothing, rows).count_nonzero() == 0


@pytest.mark.parametrize("count_self", [False, True])
def test_without_negatives_their_term_is_zero(*, count_self: bool) -> None:
    rows = torch.ones(3, 2, dtype=torch.float64)
    expected = math.log1p(math.exp(-5))
    assert loss_of(rows, [1, 1, 1], count_self=count_self).item() == pytest.approx(expected)


@given(data=st.data(), groups=st.lists(st.integers(0, 3), min_size=2, max_size=9))
def test_any_groups_follow_the_formula_in_any_order(data: st.DataObject, groups: list[int]) -> None:
    rows = features(len(groups))
    order = data.draw(st.permutations(range(len(groups))))
    again = loss_of(rows[torch.tensor(order)], [groups[place] + 5 for place in order])
    plain = loss_formulas.pairwise_sigmoid(rows, groups, 0.2)
    torch.testing.assert_close(again, plain, **EXACT)


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda rows: loss_of(rows, GROUPS), (features(7),))


def test_a_tiny_temperature_is_stable() -> None:
    rows = torch.tensor([[1.0, 0], [-1, 0], [1, 0], [0, 1]], requires_grad=True)
    loss = loss_of(rows, [0, 0, 1, 1], 0.005)
    exact = rows.detach().double().requires_grad_()
    plain = loss_formulas.pairwise_sigmoid(exact, [0, 0, 1, 1], 0.005)
    assert plain > 100
    torch.testing.assert_close(loss.double(), plain, atol=1e-4, rtol=1e-6)
    torch.testing.assert_close(slope(loss, rows).double(), slope(plain, exact), atol=1e-3, rtol=0)


def test_half_precision_is_computed_in_float32() -> None:
    rows = features(7).detach().half()
    loss = loss_of(rows, GROUPS, 0.01)
    assert loss.dtype == torch.float32
    assert loss == loss_of(rows.float(), GROUPS, 0.01)


def test_many_rows_are_the_formula_across_chunks() -> None:
    groups = [place % 50 for place in range(300)]
    rows = features(300).detach()
    normal = torch.nn.functional.normalize(rows, dim=1)
    logits = normal @ normal.T / 0.2
    labels = torch.tensor(groups)
    alike = labels[:, None] == labels
    costs = torch.nn.functional.softplus(torch.where(alike, -logits, logits), threshold=100)
    attract = (costs * alike).fill_diagonal_(0).sum(1) / 5
    expected = (attract + (costs * ~alike).sum(1) / 294).mean()
    torch.testing.assert_close(loss_of(rows, groups), expected, **EXACT)
