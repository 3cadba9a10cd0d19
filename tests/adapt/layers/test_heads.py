"""Projection heads, and batch norm over processes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn

from adapt.layers.batch_norm import SyncedBatchNorm, synchronised
from adapt.layers.heads import mlp_head
from bench.core.errors import BenchError
from tests.support.gloo import together

SHAPES = {"vectors": (11, 5), "pictures": (11, 5, 3, 2)}
SHARES = {2: [4, 7], 3: [1, 6, 4]}


def normalised(values: Tensor, norm: nn.Module) -> dict[str, Any]:
    """Return what two steps of a norm make of values, with a loss that tells rows apart.

    And what it makes of them when it is judged.
    """
    values = values.requires_grad_()
    out = values
    for step in range(2):
        out = norm(values * (step + 1) + step)
        weights = torch.arange(out[0].numel(), dtype=out.dtype).view(out[0].shape)
        (out.square() * weights).tanh().sum().backward()
    found = {"out": out.detach(), "gradient": values.grad, **norm.state_dict()}
    found["judged"] = norm.eval()(values).detach()
    return found | {f"{name} gradient": one.grad for name, one in norm.named_parameters()}


def whole(name: str) -> tuple[Tensor, nn.Module]:
    """Return values with a mean far from zero, and torch's norm for them."""
    torch.manual_seed(0)
    values = torch.randn(SHAPES[name], dtype=torch.float64) + 100
    norm = (nn.BatchNorm1d if name == "vectors" else nn.BatchNorm2d)(5).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return values, norm


def share() -> dict[str, Any]:
    """Return what this process's share of the values becomes, by the kind of values."""
    shares, rank = SHARES[distributed.get_world_size()], distributed.get_rank()
    found = {}
    for name in SHAPES:
        values, norm = whole(name)
        mine = torch.split(values, shares)[rank].clone()
        found[name] = normalised(mine, synchronised(nn.Sequential(norm))[0])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_unequal_shares_are_normalised_as_the_whole_batch_is(
    processes: int, tmp_path: Path
) -> None:
    found = together(share, processes, tmp_path / "gloo")
    for name in SHAPES:
        expected = normalised(*whole(name))
        for key, value in expected.items():
            ours = [one[name][key] for one in found]
            if key in {"out", "gradient", "judged"}:
                torch.testing.assert_close(torch.cat(ours), value, rtol=0, atol=1e-9)
            elif key.endswith("gradient"):
                torch.testing.assert_close(sum(ours), value, rtol=0, atol=1e-9)
            else:
                for one in ours:
                    torch.testing.assert_close(one, value, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", SHAPES)
def test_one_process_normalises_as_torch_does_to_the_bit(name: str) -> None:
    values, norm = whole(name)
    expected = normalised(values.clone(), norm)
    values, norm = whole(name)
    (synced,) = synchronised(nn.Sequential(norm))
    assert isinstance(synced, SyncedBatchNorm)
    found = normalised(values, synced)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert torch.equal(synced.eval()(values), norm.eval()(values))


def test_batch_norms_that_do_more_are_refused() -> None:
    class WithActivation(nn.BatchNorm2d):
        """As timm's BatchNormAct2d."""

    with pytest.raises(BenchError, match="WithActivation cannot be synchronised"):
        synchronised(nn.Sequential(WithActivation(3)))


@pytest.mark.parametrize(("norm", "coupled"), [("bn", True), ("ln", False)])
def test_rows_of_a_head_see_each_other_by_batch_norm_alone(norm: Any, coupled: bool) -> None:
    torch.manual_seed(0)
    head = mlp_head(6, 16, 4, norm=norm)
    embeddings = torch.randn(5, 6)
    first = head(embeddings)
    embeddings[1:] += 1
    assert first.shape == (5, 4)
    assert torch.equal(head(embeddings)[0], first[0]) != coupled


def test_a_published_head_has_three_layers_and_its_last_is_linear() -> None:
    head = mlp_head(768, 4096, 256, norm="bn")
    shapes = [tuple(one.weight.shape) for one in head if isinstance(one, nn.Linear)]
    assert shapes == [(4096, 768), (4096, 4096), (256, 4096)]
    assert isinstance(head[-1], nn.Linear)
    assert sum(isinstance(one, nn.ReLU) for one in head) == 2


def test_a_head_with_layer_norm_has_gelu() -> None:
    kinds = [type(one) for one in mlp_head(6, 16, 4, norm="ln")]
    assert kinds == [*[nn.Linear, nn.LayerNorm, nn.GELU] * 2, nn.Linear]
