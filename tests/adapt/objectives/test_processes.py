"""Contrastive objectives in two processes: the loss and the gradient of one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed

from adapt.models import load_clip
from tests.support.gloo import together
from tests.support.objectives import SMALL, batch, started
from tests.support.tiny_clip import write_tiny_clip

GROUPS = [5, 5, 5, 9, 9, 9, 2, 2, 2, 5, 5, 5]
"""Four tuples of three images; the last is of the first one's group, in another process."""

OBJECTIVES: dict[str, tuple[str, dict[str, Any], int]] = {
    "clip": ("clip", {}, 1),
    "simclr": ("simclr", SMALL, 2),
    "layer norm": ("simclr", {**SMALL, "norm": "ln"}, 2),
    "supcon": ("supcon", SMALL, 2),
    "stablerep": ("stablerep", {**SMALL, "per_group": 3}, 1),
    "language": ("stablerep", {**SMALL, "per_group": 3, "language": 1.0}, 1),
    "superstablerep": ("superstablerep", {**SMALL, "per_group": 3}, 1),
}


def gradients(folder: Path) -> dict[str, tuple[Tensor, dict[str, Tensor]]]:
    """Return the loss and the gradients of this process's share of a batch, by objective."""
    clip, found = load_clip(folder), {}
    for label, (name, options, views) in OBJECTIVES.items():
        objective = started(clip, name, **options).double()
        of = batch(clip, GROUPS, views=views)
        of = replace(of, views=tuple(view.double() for view in of.views))
        if distributed.is_initialized():
            of = of.split(6)[distributed.get_rank()]
        loss = objective.loss(objective.encode(of, 0), of, 0)["loss"]
        loss.backward()
        slopes = {
            name: one.grad for name, one in objective.named_parameters() if one.grad is not None
        }
        found[label] = loss.detach(), slopes
    return found


@pytest.mark.slow
def test_the_mean_over_two_processes_is_the_whole_batchs(tmp_path: Path) -> None:
    """Half of the batch each; gradients are averaged as they are in a training."""
    folder = write_tiny_clip(tmp_path / "clip")
    expected = gradients(folder)
    ours = together(gradients, 2, tmp_path / "gloo", folder)
    for label, (loss, slopes) in expected.items():
        both = [one[label] for one in ours]
        assert float(sum(one for one, _ in both) / 2) == pytest.approx(float(loss), abs=1e-10)
        for name, slope in slopes.items():
            mean = sum(theirs[name] for _, theirs in both) / 2
            torch.testing.assert_close(mean, slope, rtol=0, atol=1e-9)
