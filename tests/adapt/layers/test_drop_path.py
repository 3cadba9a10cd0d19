"""Drop path: the rates of timm, in open_clip's towers too; nothing is dropped in evaluation."""

import copy
from pathlib import Path
from typing import Any

import msgspec
import pytest
import timm
import torch
from torch import Tensor

from adapt.image_encoder import TimmTower
from adapt.layers.drop_path import residual_blocks, set_drop_path
from adapt.models import Classifier, load_clip
from bench.core.errors import RequestError
from bench.core.specs import TrainSpec
from bench.plugins import Start, objective_of
from tests.support.objectives import SMALL, training
from tests.support.tiny_clip import SIZE, colour_task, write_tiny_clip
from tests.support.tiny_training import EndedError, assert_same, losses, save_always

torch.set_num_threads(1)

RATE = 0.4


def tower(folder: Path, **options: Any) -> Any:
    return load_clip(write_tiny_clip(folder / "clip", **options)).model.visual


def images(count: int = 6) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["test_vit3", "test_convnext"])
def test_a_network_of_timm_becomes_what_timm_makes_of_the_rate(name: str) -> None:
    networks: list[Any] = [timm.create_model(name, drop_path_rate=rate) for rate in (0.0, RATE)]
    ours, theirs = networks
    ours.load_state_dict(theirs.state_dict())
    set_drop_path(TimmTower(ours), RATE)
    pixels = torch.randn(8, 3, *ours.default_cfg["input_size"][1:])
    found = []
    for network in (ours, theirs):
        torch.manual_seed(7)
        found.append(network.train()(pixels))
    assert torch.equal(*found)
    assert not torch.equal(found[0], ours.eval()(pixels))
    assert torch.equal(ours(pixels), theirs.eval()(pixels))


def test_a_network_that_is_evaluated_goes_on_to_be() -> None:
    network: Any = timm.create_model("test_vit3").eval()
    pixels = torch.randn(8, 3, *network.default_cfg["input_size"][1:])
    before = network(pixels)
    set_drop_path(TimmTower(network), RATE)
    assert torch.equal(network(pixels), before)


@pytest.mark.parametrize("layers", [3, 2])
@pytest.mark.parametrize("scaled", [None, 0.5])
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_tower_of_open_clip_drops_whole_branches_of_some_images(
    layers: int, scaled: float | None, *, batch_first: bool
) -> None:
    """Against the sum of branches written out, with the same random numbers."""
    from open_clip.transformer import VisionTransformer

    torch.manual_seed(1)
    kept: Any = VisionTransformer(
        SIZE, 8, 32, layers, 2, 4.0, ls_init_value=scaled, output_dim=16
    ).double()
    if not batch_first:
        kept.transformer.batch_first = False
        for block in kept.transformer.resblocks:
            block.attn.batch_first = False
    dropping = copy.deepcopy(kept)
    set_drop_path(dropping, RATE)
    assert dropping.state_dict().keys() == kept.state_dict().keys()
    tokens = torch.randn(5, 4, 32, dtype=torch.float64)
    torch.manual_seed(3)
    found = dropping.transformer.train()(tokens)
    torch.manual_seed(3)
    expected = tokens
    for number, block in enumerate(kept.transformer.resblocks):
        rate = RATE * number / (layers - 1)

        def stays(rate: float = rate) -> Tensor:
            if not rate:
                return torch.ones(())
            drawn = torch.empty(5, 1, 1, dtype=torch.float64).bernoulli_(1 - rate)
            return drawn / (1 - rate)

        turned = expected if batch_first else expected.transpose(0, 1)
        branch = block.ls_1(block.attention(block.ln_1(turned)))
        branch = branch if batch_first else branch.transpose(0, 1)
        expected = expected + branch * stays()
        expected = expected + block.ls_2(block.mlp(block.ln_2(expected))) * stays()
    # Rates are timm's, in float32.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_a_branch_keeps_its_expectation_and_is_dropped_as_often_as_said(tmp_path: Path) -> None:
    visual = tower(tmp_path)
    set_drop_path(visual, RATE)
    first, last = (block.ls_2.train() for block in residual_blocks(visual))
    branch = torch.ones(20_000, 2, 3)
    assert torch.equal(first(branch), branch)
    torch.manual_seed(0)
    found = last(branch)
    assert found.unique().tolist() == pytest.approx([0, 1 / (1 - RATE)])
    # An image is dropped as a whole. The standard error of the share is 0.0035, of the mean 0.006.
    assert torch.equal(found, found[:, :1, :1].expand_as(found))
    assert float((found[:, 0, 0] == 0).float().mean()) == pytest.approx(RATE, abs=0.014)
    assert float(found.mean()) == pytest.approx(1, abs=0.024)


def test_evaluation_drops_nothing_and_a_copy_drops_as_much(tmp_path: Path) -> None:
    clip = load_clip(write_tiny_clip(tmp_path / "clip"))
    plain = Classifier.from_clip(clip, colour_task())
    dropping = Classifier.from_clip(clip, colour_task())
    set_drop_path(dropping.visual, RATE)
    assert torch.equal(dropping.eval()(images()), plain(images()))
    assert torch.equal(plain.train()(images()), plain.eval()(images()))
    found = []
    for classifier in (dropping, copy.deepcopy(dropping)):
        torch.manual_seed(2)
        found.append(classifier.train()(images()))
    assert torch.equal(*found)
    assert not torch.equal(found[0], plain(images()))


def test_a_teacher_drops_nothing(tmp_path: Path) -> None:
    model = Classifier.from_clip(load_clip(write_tiny_clip(tmp_path / "clip")), colour_task())
    set_drop_path(model.visual, RATE)
    options = {**SMALL, "prototypes": 8, "token_hidden": 8, "token_out": 4}
    objective: Any = objective_of("synclr", options).start(Start(model=model, steps=10))
    taught, learnt = (one.embeddings for one in (objective.train().teacher.model, objective.model))
    assert torch.equal(taught(images()), taught(images()))
    assert not torch.equal(learnt(images()), learnt(images()))


@pytest.mark.parametrize("options", [{"batch_norm": True}, {}])
def test_a_tower_without_residual_blocks_is_refused_by_name(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    holder: Any = tower(tmp_path, batch_norm=True)
    if not options:
        holder = TimmTower(timm.create_model("vgg11", num_classes=0))
    name = "ModifiedResNet" if options else "VGG"
    with pytest.raises(RequestError, match=rf"tower \({name}\) has no residual blocks"):
        set_drop_path(holder, RATE)


SPEC = TrainSpec(epochs=3, batch_size=12, lr=1e-3, warmup_steps=2, drop_path=0.5)


def test_an_ended_training_continues_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_always(monkeypatch, check_steps=2)

    def ending(kind: Any) -> Any:
        class Ending(kind):  # type: ignore[misc]
            encodings = 0

            def encode(self, *given: Any) -> Any:
                self.encodings += 1
                if self.encodings == 6:
                    raise EndedError
                return super().encode(*given)

        return Ending

    undisturbed = training(tmp_path, "simclr", SMALL, SPEC, run="undisturbed")
    with pytest.raises(EndedError):
        training(tmp_path, "simclr", SMALL, SPEC, kind=ending)
    resumed = training(tmp_path, "simclr", SMALL, SPEC)
    assert losses(resumed) == losses(undisturbed)
    for epoch, weights in undisturbed.weights.items():
        assert_same(resumed.weights[epoch], weights, 0)
    plain = training(
        tmp_path, "simclr", SMALL, msgspec.structs.replace(SPEC, drop_path=0.0), run="plain"
    )
    assert losses(plain) != losses(undisturbed)
