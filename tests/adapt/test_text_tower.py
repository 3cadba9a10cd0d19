"""A text tower that is trained beside the image tower."""

import copy
import math
from pathlib import Path

import pytest
import torch

from adapt.models import Clip, load_clip, text_head
from adapt.text_tower import MAX_SCALE, TextTower
from tests.support.tiny_clip import TEXTS, colour_task, write_tiny_clip

TASK = colour_task()


@pytest.fixture(params=[None, -10.0], ids=["CLIP", "CustomTextCLIP"])
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Clip:
    return load_clip(write_tiny_clip(tmp_path, logit_bias=request.param))


def test_it_starts_as_the_models_own(clip: Clip) -> None:
    tower, tokens = TextTower.from_clip(clip, TASK), clip.tokens(TEXTS)
    with torch.no_grad():
        expected = clip.model.encode_text(tokens, normalize=True)
        # torch multiplies parameters that are trained in another order.
        torch.testing.assert_close(tower(tokens), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(tower.head(), text_head(clip, TASK), rtol=0, atol=2e-5)
    assert float(tower.scale.detach()) == pytest.approx(1 / 0.07)


def test_what_is_trained_has_a_gradient_and_the_model_stays(clip: Clip) -> None:
    before = copy.deepcopy(clip.model.state_dict())
    tower, tokens = TextTower.from_clip(clip, TASK), clip.tokens(TEXTS)
    optimiser = torch.optim.SGD([one for one in tower.parameters() if one.requires_grad], lr=1.0)
    (tower(tokens).square().cos().sum() * tower.scale).backward()
    trained = {name for name, one in tower.named_parameters() if one.requires_grad}
    given = {name for name, one in tower.named_parameters() if one.grad is not None}
    assert trained == given == {name for name, _ in tower.named_parameters()} - {"model.logit_bias"}
    assert not any("visual" in name for name in tower.state_dict())
    head = tower.head()
    optimiser.step()
    assert not torch.equal(tower.head(), head)
    assert all(torch.equal(value, before[name]) for name, value in clip.model.state_dict().items())


def test_a_scale_above_a_hundred_is_taken_back(clip: Clip) -> None:
    clip.model.logit_scale.fill_(math.log(117.0))  # SigLIP's
    tower = TextTower.from_clip(clip, TASK)
    assert float(tower.scale.detach()) == pytest.approx(MAX_SCALE)
    with torch.no_grad():
        tower.model.logit_scale += 1
    tower.limit_scale()
    assert float(tower.scale.detach()) == pytest.approx(MAX_SCALE)


def test_embeddings_are_normalised_in_the_weights_precision(clip: Clip) -> None:
    tower, tokens = TextTower.from_clip(clip, TASK), clip.tokens(TEXTS)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        embeddings = tower(tokens)
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2), rtol=0, atol=1e-6)


def test_dropout_of_a_training_does_not_reach_the_head(clip: Clip) -> None:
    tower = TextTower.from_clip(clip, TASK).train()
    getattr(tower.model, "text", tower.model).ln_final = torch.nn.Dropout(0.5)
    assert torch.equal(tower.head(), tower.head())
    assert tower.training
    assert tower.model.training
