"""The contrastive loss with several positives, against formulas and other names of it."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from adapt.losses.multi_positive import multi_positive_loss
from tests.support import loss_formulas

EXACT: dict[str, Any] = {"atol": 1e-12, "rtol": 1e-12}


def features(count: int, dim: int = 5, seed: int = 0) -> Tensor:
    """Return float64 rows of different lengths that require a gradient."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    return (rows * torch.linspace(0.5, 3, count)[:, None]).requires_grad_()


def loss_of(rows: Tensor, groups: list[int] | Tensor, tau: float = 0.2, **more: Any) -> Tensor:
    """Return the loss of rows that are views of one image each."""
    ids = more.pop("ids", torch.arange(len(rows)))
    labels = torch.as_tensor(groups)
    return multi_positive_loss(rows, labels, temperature=tau, ids=ids, **more)[0]


def slope(loss: Tensor, rows: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, rows)
    return gradient


@pytest.fixture
def lonely() -> list[int]:
    """Groups of three, two and one."""
    return [7, 3, 7, 5, 3, 7, 1]


def test_it_is_the_formula_to_rounding_and_so_is_its_gradient(lonely: list[int]) -> None:
    rows, ids = features(7), list(range(7))
    ours, lone = multi_positive_loss(
        rows, torch.tensor(lonely), temperature=0.2, ids=torch.arange(7)
    )
    plain = loss_formulas.multi_positive(rows, lonely, ids, 0.2)
    torch.testing.assert_close(ours, plain, **EXACT)
    torch.testing.assert_close(slope(ours, rows), slope(plain, rows), **EXACT)
    assert (lone.item(), lone.dtype, lone.requires_grad) == (2, torch.int64, False)


def test_classes_as_groups_make_it_supcon_with_the_mean_outside_the_logarithm() -> None:
    rows = features(12)
    classes = torch.tensor([0, 1, 2] * 4)
    normal = functional.normalize(rows, dim=1)
    exponentials = (normal @ normal.T / 0.2).exp() * (1 - torch.eye(12))
    positives = (classes[:, None] == classes) & ~torch.eye(12, dtype=torch.bool)
    shares = (exponentials / exponentials.sum(1, keepdim=True))[positives].view(12, 3)
    torch.testing.assert_close(loss_of(rows, classes), -shares.log().mean(1).mean(), **EXACT)


def test_two_views_make_it_nt_xent() -> None:
    rows = features(10)
    normal = functional.normalize(rows, dim=1)
    logits = (normal @ normal.T / 0.2).masked_fill(torch.eye(10, dtype=torch.bool), -torch.inf)
    other = torch.arange(10).roll(5)
    ours = loss_of(rows, list(range(5)) * 2)
    torch.testing.assert_close(ours, functional.cross_entropy(logits, other), **EXACT)


def test_views_of_an_image_are_positives_if_each_has_an_id_and_excluded_if_they_share_it() -> None:
    rows, images = features(6), torch.tensor([4, 9, 6, 4, 9, 6])
    assert loss_of(rows, images, ids=torch.arange(6)) > 0
    loss, lone = multi_positive_loss(rows, images, temperature=0.2, ids=images)
    assert (loss.item(), lone.item()) == (0, 6)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_without_positives_loss_and_gradient_are_zero(count: int) -> None:
    rows = features(count)
    loss, lone = multi_positive_loss(
        rows, torch.arange(count), temperature=0.005, ids=torch.arange(count)
    )
    assert (loss.item(), lone.item()) == (0, count)
    assert slope(loss, rows).count_nonzero() == 0


def test_perfect_clusters_cost_the_choice_among_their_members() -> None:
    groups = torch.arange(3).repeat_interleave(4)
    rows = torch.eye(3, dtype=torch.float64)[groups]
    assert loss_of(rows, groups, 0.01).item() == pytest.approx(math.log(4 - 1), abs=1e-12)


@given(data=st.data(), groups=st.lists(st.integers(0, 3), min_size=2, max_size=9))
def test_order_names_of_groups_and_ids_and_lengths_do_not_matter(
    data: st.DataObject, groups: list[int]
) -> None:
    count = len(groups)
    rows, labels, ids = features(count).detach(), torch.tensor(groups), torch.arange(count)
    loss, lone = multi_positive_loss(rows, labels, temperature=0.2, ids=ids)
    order = torch.tensor(data.draw(st.permutations(range(count))))
    names = torch.tensor(data.draw(st.permutations([-(2**40), 0, 17, 2**40])))
    other_ids = torch.tensor(data.draw(st.permutations(range(1000, 1000 + count))))
    lengths = st.lists(st.floats(1e-3, 1e3), min_size=count, max_size=count)
    longer = rows * torch.tensor(data.draw(lengths), dtype=torch.float64)[:, None]
    again, lone_again = multi_positive_loss(
        longer[order], names[labels][order], temperature=0.2, ids=other_ids[order]
    )
    torch.testing.assert_close(again, loss, atol=1e-11, rtol=1e-11)
    assert lone_again == lone
    assert lone == sum(groups.count(group) == 1 for group in groups)


@given(groups=st.lists(st.integers(0, 3), min_size=2, max_size=9), seed=st.integers(0, 99))
def test_any_groups_follow_the_formula(groups: list[int], seed: int) -> None:
    rows = features(len(groups), seed=seed)
    plain = loss_formulas.multi_positive(rows, groups, list(range(len(groups))), 0.2)
    torch.testing.assert_close(loss_of(rows, groups), plain, **EXACT)


def test_no_row_is_asked_to_grow_or_shrink(lonely: list[int]) -> None:
    rows = features(7)
    gradient = slope(loss_of(rows, lonely), rows)
    assert gradient.norm() > 0.01
    assert (gradient * rows).sum(1).abs().max() < 1e-14


def test_gradients_are_those_of_finite_differences(lonely: list[int]) -> None:
    rows, teacher = features(7), features(7, seed=1)

    def own(queries: Tensor) -> Tensor:
        return loss_of(queries, lonely, chunk=3)

    def others(queries: Tensor, keys: Tensor) -> Tensor:
        return loss_of(queries, lonely, keys=keys, chunk=3)

    assert torch.autograd.gradcheck(own, (rows,))
    assert torch.autograd.gradcheck(others, (rows, teacher))


def test_a_second_derivative_is_refused(lonely: list[int]) -> None:
    rows = features(7)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(loss_of(rows, lonely), rows, create_graph=True)


def test_other_labels_of_as_many_rows_are_other_positives() -> None:
    rows = features(6)
    for groups in ([0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 1, 2], [0, 0, 0, 0, 0, 1]):
        plain = loss_formulas.multi_positive(rows, groups, list(range(6)), 0.2)
        torch.testing.assert_close(loss_of(rows, groups), plain, **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tiny_temperature_is_stable_when_copies_and_opposites_dominate(
    dtype: torch.dtype,
) -> None:
    one, other = features(2).detach()
    rows = torch.stack([one, -one, one, other, -one, one]).to(dtype).requires_grad_()
    groups, ids = [0, 0, 1, 1, 2, 3], [0, 1, 2, 3, 4, 5]
    loss = loss_of(rows, groups, 0.005)
    exact = rows.detach().double().requires_grad_()
    plain = loss_formulas.multi_positive(exact, groups, ids, 0.005)
    assert plain > 100
    close: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-3 if dtype == torch.float32 else 1e-9}
    torch.testing.assert_close(loss, plain.to(dtype), **close)
    torch.testing.assert_close(slope(loss, rows), slope(plain, exact).to(dtype), **close)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, lonely: list[int]) -> None:
    rows = features(7).detach().to(dtype).requires_grad_()
    loss = loss_of(rows, lonely, 0.01)
    wide = rows.detach().float().requires_grad_()
    same = loss_of(wide, lonely, 0.01)
    assert loss.dtype == torch.float32
    assert loss == same
    assert torch.equal(slope(loss, rows), slope(same, wide).to(dtype))


def test_autocast_changes_nothing(lonely: list[int]) -> None:
    rows = features(7).detach().float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss_of(rows, lonely, 0.01)
    outside = loss_of(rows, lonely, 0.01)
    assert inside == outside
    assert torch.equal(slope(inside, rows), slope(outside, rows))


def test_keys_that_equal_the_queries_change_nothing(lonely: list[int]) -> None:
    rows = features(7)
    given_keys = loss_of(rows, lonely, keys=rows.detach())
    torch.testing.assert_close(given_keys, loss_of(rows, lonely), **EXACT)


def test_a_teachers_keys_get_no_gradient_and_exclude_the_own_id_wherever_it_stands() -> None:
    student, teacher = features(8), features(4, seed=1)
    groups, ids = [0, 0, 1, 1, 0, 0, 1, 1], [3, 2, 1, 0, 0, 3, 1, 2]
    key_groups, key_ids = [0, 0, 1, 1], [3, 0, 2, 1]
    loss, lone = multi_positive_loss(
        student,
        torch.tensor(groups),
        temperature=0.08,
        ids=torch.tensor(ids),
        keys=teacher.detach(),
        key_groups=torch.tensor(key_groups),
        key_ids=torch.tensor(key_ids),
    )
    keys = (teacher.detach(), key_groups, key_ids)
    plain = loss_formulas.multi_positive(student, groups, ids, 0.08, keys)
    torch.testing.assert_close(loss, plain, **EXACT)
    torch.testing.assert_close(slope(loss, student), slope(plain, student), **EXACT)
    assert lone == 0
    assert teacher.grad is None


def test_one_image_of_a_caption_has_no_positive_among_a_teachers_keys() -> None:
    rows, ids = features(4), torch.arange(4)
    loss, lone = multi_positive_loss(rows, ids, temperature=0.1, ids=ids, keys=rows.detach())
    loss.backward()  # type: ignore[no-untyped-call]
    assert (loss.item(), lone.item()) == (0, 4)
    assert rows.grad is not None
    assert rows.grad.count_nonzero() == 0


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
def test_the_size_of_chunks_changes_rounding_alone(chunk: int, lonely: list[int]) -> None:
    rows = features(7)
    loss, same = (loss_of(rows, lonely, chunk=size) for size in (chunk, 256))
    torch.testing.assert_close(loss, same, **EXACT)
    torch.testing.assert_close(slope(loss, rows), slope(same, rows), **EXACT)


def test_what_is_not_a_number_is_not_hidden(lonely: list[int]) -> None:
    rows = features(7).detach()
    rows[6, 0] = torch.nan
    assert loss_of(rows, lonely).isnan()


def test_cached_gradients_of_micro_batches_are_those_of_the_whole_batch() -> None:
    images, groups = features(12).detach(), torch.tensor([0, 1, 2] * 4)
    weight = features(5, 4, seed=1)

    def by_micro_batches(slopes: Callable[[], tuple[Tensor, ...]]) -> Tensor:
        parts = zip(torch.split(images, 4), slopes(), strict=True)
        return sum(
            (torch.autograd.grad(part @ weight, weight, given)[0] for part, given in parts),
            torch.zeros_like(weight),
        )

    def cached() -> tuple[Tensor, ...]:
        encoded = (images @ weight).detach().requires_grad_()
        return torch.split(slope(loss_of(encoded, groups), encoded), 4)

    def accumulated() -> tuple[Tensor, ...]:
        parts = [(part @ weight).detach().requires_grad_() for part in torch.split(images, 4)]
        return tuple(
            slope(loss_of(part, labels), part) / 3
            for part, labels in zip(parts, torch.split(groups, 4), strict=True)
        )

    whole = slope(loss_of(images @ weight, groups), weight)
    torch.testing.assert_close(by_micro_batches(cached), whole, **EXACT)
    assert not torch.allclose(by_micro_batches(accumulated), whole, rtol=0.1)
