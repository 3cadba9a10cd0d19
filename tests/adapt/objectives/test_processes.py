"""Contrastive objectives in two processes: the loss and the gradient of one."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from adapt.batches.ranks import RankBatch
from adapt.gradient import Encoder, Gradient
from adapt.layers.batch_norm import SyncedBatchNorm
from adapt.models import Classifier, Clip, load_clip
from bench.core.specs import TrainSpec
from bench.plugins import Batch, Start
from tests.support.gloo import together
from tests.support.objectives import SMALL, SYNCLR, batch, started, training
from tests.support.tiny_clip import colour_task, write_tiny_clip
from tests.support.tiny_training import losses

GROUPS = [5, 5, 5, 9, 9, 9, 2, 2, 2, 5, 5, 5]
"""Four tuples of three images; the last is of the first one's group, in another process."""

OBJECTIVES: dict[str, tuple[str, dict[str, Any], int]] = {
    "clip": ("clip", {}, 1),
    "simclr": ("simclr", SMALL, 2),
    "layer norm": ("simclr", {**SMALL, "norm": "ln"}, 2),
    "supcon": ("supcon", SMALL, 2),
    "stablerep": ("stablerep", {**SMALL, "per_group": 3}, 1),
    "language": ("stablerep", {**SMALL, "per_group": 3, "language": 1.0}, 1),
    "language, layer norm": (
        "stablerep",
        {**SMALL, "norm": "ln", "per_group": 3, "language": 1.0},
        1,
    ),
    "superstablerep": ("superstablerep", {**SMALL, "per_group": 3}, 1),
    "synclr": ("synclr", SYNCLR, 1),
    "synclr, layer norm": ("synclr", {**SYNCLR, "norm": "ln"}, 1),
}

MASKED = [8, 8, 0, 3, 0, 1, 0, 0, 0, 16, 0, 0]
"""How many patches of each image are masked; of the first process's images, more are."""

IN_PARTS = ["clip", "layer norm", "language, layer norm", "synclr, layer norm"]

Found = tuple[Tensor, dict[str, Tensor]]
"""A loss and the gradients of parameters."""


def gradients(folder: Path) -> dict[str, Found]:
    """Return the loss and the gradients of this process's share of a batch, by objective."""
    clip, found = load_clip(folder), {}
    for label in OBJECTIVES:
        objective, of = share(clip, label)
        loss = objective.loss(objective.encode(of, 0), of, 0)["loss"]
        loss.backward()
        found[label] = loss.detach(), slopes_of(objective)
    return found


def gradients_in_parts(folder: Path) -> dict[str, Found]:
    """Return the same as a training has them that encodes two images of a share at a time."""
    clip, found = load_clip(folder), {}
    accelerator: Any = SimpleNamespace(
        device=torch.device("cpu"), num_processes=distributed.get_world_size(),
        backward=Tensor.backward, no_sync=DistributedDataParallel.no_sync,
    )  # fmt: skip
    for label in IN_PARTS:
        objective, of = share(clip, label)
        encoder = DistributedDataParallel(Encoder(objective))
        gradient = Gradient(objective, encoder, accelerator, coupled=True)
        logged = gradient.add(RankBatch([], len(GROUPS)), of, 2, 0)
        found[label] = logged["loss"], slopes_of(objective)
    return found


def share(clip: Clip, label: str) -> tuple[Any, Batch]:
    """Return an objective, and this process's share of a batch."""
    name, options, views = OBJECTIVES[label]
    of = batch(clip, GROUPS, views=views, crops=options.get("local_crops", 0), masked=MASKED)
    of = replace(of, views=tuple(view.double() for view in of.views))
    if distributed.is_initialized():
        of = of.split(6)[distributed.get_rank()]
    return started(clip, name, **options).double(), of


def slopes_of(objective: Any) -> dict[str, Tensor]:
    return {name: one.grad for name, one in objective.named_parameters() if one.grad is not None}


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


@pytest.mark.slow
def test_parts_of_two_processes_add_up_to_the_whole_batch(tmp_path: Path) -> None:
    """Every process ends with the gradient of the whole batch; a scalar of it counts once."""
    folder = write_tiny_clip(tmp_path / "clip")
    expected = gradients(folder)
    ours = together(gradients_in_parts, 2, tmp_path / "gloo", folder)
    for label in IN_PARTS:
        loss, slopes = expected[label]
        both = [one[label] for one in ours]
        assert float(sum(one for one, _ in both)) == pytest.approx(float(loss), abs=1e-10)
        for _, theirs in both:
            assert theirs.keys() == slopes.keys()
            for name, slope in slopes.items():
                torch.testing.assert_close(theirs[name], slope, rtol=0, atol=1e-9)


TRAINED = ["stablerep", "language, layer norm", "synclr"]
SPEC = TrainSpec(epochs=2, batch_size=12, lr=2e-3, warmup_steps=2)


def in_float64(kind: Any) -> type:
    """Return an objective of float64 weights, whose steps differ between runs by nothing to see.

    AdamW divides a gradient by its size, so the rounding of one that should be 0 is a whole step.
    """

    class Exact(kind):  # type: ignore[misc]
        def __init__(self, options: Any, start: Start) -> None:
            super().__init__(options, start)
            self.double()

        def encode(self, batch: Batch, step: int) -> Any:
            views = tuple(view.double() for view in batch.views)
            return super().encode(replace(batch, views=views), step)

    return Exact


def train_together(folder: Path) -> dict[str, list[float | None]]:
    """Return the losses of trainings, in one process or in all of a group."""
    rank, run = 0, folder / "alone"
    if distributed.is_initialized():
        rank, run = distributed.get_rank(), folder / "together"
        count = distributed.get_world_size()
        # As torchrun tells them.
        ours = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        os.environ |= {name: str(value) for name, value in ours.items()}
    found = {}
    for label in TRAINED:
        name, options, _ = OBJECTIVES[label]
        place = f"{run}-{label}"  # One folder of checkpoints for all processes.
        data = folder / f"{run.name}-{rank}-{label}"
        adapted = training(data, name, options, SPEC, run=place, kind=in_float64)
        found[label] = losses(adapted)
    return found


@pytest.mark.slow
def test_two_processes_that_train_tuples_have_the_losses_of_one(tmp_path: Path) -> None:
    """Every process takes whole tuples, which batch norm in the head relies on."""
    expected = train_together(tmp_path)
    for ours in together(train_together, 2, tmp_path / "gloo", tmp_path):
        for label in TRAINED:
            assert ours[label] == pytest.approx(expected[label], rel=1e-6)


def synchronised_norms(folder: Path) -> dict[bool, set[bool]]:
    """Return which kinds of batch norm towers have, by whether they were trained before."""
    clip = load_clip(folder)
    found = {}
    for trained in (True, False):
        start = replace(clip, trained=trained)
        modules = Classifier.from_clip(start, colour_task()).modules()
        norms = [one for one in modules if isinstance(one, nn.modules.batchnorm._BatchNorm)]
        found[trained] = {isinstance(one, SyncedBatchNorm) for one in norms}
    return found


@pytest.mark.slow
def test_the_norms_of_an_untrained_tower_are_synchronised(tmp_path: Path) -> None:
    folder = write_tiny_clip(tmp_path / "clip", batch_norm=True)
    assert synchronised_norms(folder) == {True: {False}, False: {False}}
    for found in together(synchronised_norms, 2, tmp_path / "gloo", folder):
        assert found == {True: {False}, False: {True}}
