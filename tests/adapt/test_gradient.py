"""A coupled objective: its gradient in parts, its state in checkpoints, and what is judged."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from adapt import train_step
from adapt import training as training_module
from adapt.batches.order import BatchSchedule, SampledImage
from adapt.batches.ranks import RankBatch
from adapt.finetune import Adapted
from adapt.gradient import Encoder, Gradient
from adapt.models import Classifier
from adapt.train_step import TrainStep
from adapt.training import Validation
from bench.core.errors import BenchError, RequestError
from bench.core.progress import Progress, Work
from bench.core.specs import TrainSpec
from bench.plugins import Batch, Start
from tests.support.contrast import Contrast
from tests.support.tiny_training import (
    SPEC,
    EndedError,
    assert_same,
    losses,
    save_always,
    train,
    world,
)

torch.set_num_threads(1)

WHOLE = msgspec.structs.replace(SPEC, batch_size=20, lr=5e-4)
PARTS = msgspec.structs.replace(WHOLE, micro_batch=6)


def later_is_better(_: Classifier, epoch: int) -> float:
    return float(epoch)


def contrast(
    folder: Path, spec: TrainSpec = WHOLE, run: str = "run", kind: Any = Contrast, **options: Any
) -> Adapted:
    classifier, images = world(folder)
    return train(
        classifier, images, folder / run, spec, later_is_better, kind, Contrast.Options(**options)
    )


class Kept(Contrast):
    """The objective of the latest training."""

    latest: Contrast

    def __init__(self, options: Contrast.Options, start: Start) -> None:
        super().__init__(options, start)
        Kept.latest = self


def gradients(folder: Path, size: int, *, coupled: bool) -> list[Tensor]:
    """Return a step's gradients in float64, for so many images at a time."""
    classifier, images = world(folder)
    objective = Contrast(Contrast.Options(), Start(classifier, 1)).double().train()
    batch = images.normalise(images[[SampledImage(1, row) for row in range(20)]])
    batch = replace(batch, views=(batch.views[0].double(),))
    accelerator = Accelerator(cpu=True)
    encoder = accelerator.prepare(Encoder(objective))
    Gradient(objective, encoder, accelerator, coupled=coupled).add(
        RankBatch([], 20), batch, size, 0
    )
    return [one.grad for one in objective.parameters() if one.grad is not None]


@pytest.mark.parametrize("size", [1, 6, 10, 19])
def test_cached_gradients_are_exact_and_accumulated_ones_are_not(tmp_path: Path, size: int) -> None:
    def error(found: list[Tensor]) -> float:
        pairs = list(zip(found, whole, strict=True))
        return max(float((a - b).norm() / (b.norm() + 1e-9)) for a, b in pairs)

    whole = gradients(tmp_path / "whole", 20, coupled=True)
    assert error(gradients(tmp_path / "cached", size, coupled=True)) < 1e-9
    assert error(gradients(tmp_path / "added", size, coupled=False)) > 0.01


def test_parts_of_a_batch_see_the_whole_batch(tmp_path: Path) -> None:
    whole, parts = contrast(tmp_path, run="whole"), contrast(tmp_path, PARTS, run="parts")
    assert_same(whole.classifier.state(), parts.classifier.state(), 2e-6)
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-5)
    assert [epoch.parts for epoch in parts.history[1:]] == [{"size": 20.0}] * 3


def test_no_batch_of_coupled_images_is_short(tmp_path: Path) -> None:
    """Forty images in batches of sixteen."""
    adapted = contrast(tmp_path, msgspec.structs.replace(SPEC, batch_size=16), kind=Kept)
    assert [epoch.parts for epoch in adapted.history[1:]] == [{"size": 16.0}] * 3
    assert Kept.latest.followed == list(range(3 * 40 // 16))


def test_what_is_trained_beside_the_classifier_is_the_same_in_parts(tmp_path: Path) -> None:
    def trained(spec: TrainSpec, run: str) -> dict[str, Tensor]:
        contrast(tmp_path, spec, run, Kept)
        return {name: value.clone() for name, value in Kept.latest.state_dict().items()}

    assert_same(trained(WHOLE, "whole"), trained(PARTS, "parts"), 2e-6)


def test_both_passes_over_a_part_draw_the_same_random_numbers(tmp_path: Path) -> None:
    contrast(tmp_path, msgspec.structs.replace(PARTS, epochs=1, lr=1e-30), "run", Kept, dropout=0.5)
    encoded = Kept.latest.encoded
    assert [len(rows) for rows in encoded] == [6, 6, 6, 2] * 4
    first, again = encoded[:4], encoded[4:8]
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not torch.equal(encoded[0], encoded[8]), "another step draws others"


def test_short_memory_does_not_change_the_negatives(tmp_path: Path) -> None:
    class Short(Contrast):
        def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
            if len(batch) > 5:
                raise torch.OutOfMemoryError("no room")
            return super().encode(batch, step)

    whole = contrast(tmp_path, run="whole")
    halved = contrast(tmp_path, run="halved", kind=Short)
    assert_same(whole.classifier.state(), halved.classifier.state(), 2e-6)
    assert [epoch.micro_batch for epoch in halved.history] == [None, 5, 5, 5]


def test_memory_that_runs_out_on_the_way_leaves_no_gradient_behind(tmp_path: Path) -> None:
    class Late(Contrast):
        """Runs out of memory in the second part that is encoded with gradient, of the first step's
        four."""

        parts = 0

        def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
            self.parts += torch.is_grad_enabled()
            if self.parts == 2 and len(batch) == 6:
                raise torch.OutOfMemoryError("no room")
            return super().encode(batch, step)

    once = msgspec.structs.replace(PARTS, epochs=1)
    whole = contrast(tmp_path, msgspec.structs.replace(once, micro_batch=None), run="whole")
    halved = contrast(tmp_path, once, run="halved", kind=Late)
    assert [epoch.micro_batch for epoch in halved.history] == [None, 3]
    assert_same(whole.classifier.state(), halved.classifier.state(), 2e-6)


def test_steps_that_a_loss_scaler_skips_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU does without a scaler, so it is given one."""
    unscaled = train_step._accelerator

    def scaled(device: torch.device, precision: str) -> Accelerator:
        accelerator = unscaled(device, precision)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        return accelerator

    class Overflowing(Kept):
        """Its gradient is no number in the second step."""

        def loss(self, encoded: Any, batch: Batch, step: int) -> dict[str, Tensor]:
            losses = super().loss(encoded, batch, step)
            if step != 1:
                return losses
            return losses | {"loss": losses["loss"] + (0 * encoded["rows"].sum()).abs().sqrt()}

    monkeypatch.setattr(train_step, "_accelerator", scaled)
    contrast(tmp_path, kind=Overflowing)
    assert Kept.latest.followed == [0, 2, 3, 4, 5]


def test_batch_statistics_refuse_parts(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"train\.micro_batch=6: batch norm needs"):
        contrast(tmp_path, PARTS, batch_norm=True)

    class Short(Contrast):
        def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
            raise torch.OutOfMemoryError("no room")

    with pytest.raises(BenchError, match=r"batch norm needs at once; lower train\.batch"):
        contrast(tmp_path, kind=Short, batch_norm=True)
    assert contrast(tmp_path, run="whole", batch_norm=True).history[-1].epoch == 3


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
def test_everything_that_lasts_is_in_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    save_always(monkeypatch, check_steps=1)

    class Cut(Kept):
        def loss(self, *given: Any) -> dict[str, Tensor]:
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls > cut:
                raise EndedError
            return super().loss(*given)

    undisturbed = contrast(tmp_path, run="undisturbed", kind=Kept, dropout=0.5)
    expected = Kept.latest.state_dict()
    with pytest.raises(EndedError):
        contrast(tmp_path, kind=Cut, dropout=0.5)
    resumed = contrast(tmp_path, kind=Kept, dropout=0.5)
    assert_same(Kept.latest.state_dict(), expected, 0)
    assert losses(resumed) == losses(undisturbed)
    for epoch, weights in undisturbed.weights.items():
        assert_same(resumed.weights[epoch], weights, 0)
    assert Kept.latest.followed == list(range(cut, 6)), "the steps that were left"


def test_another_classifier_than_the_trained_one_is_judged(tmp_path: Path) -> None:
    adapted = contrast(tmp_path, kind=Kept)
    assert adapted.classifier is Kept.latest.average
    last = {name: value.clone() for name, value in Kept.latest.average.state_dict().items()}
    assert_same(adapted.weights[3], last, 0)
    trained = Kept.latest.model.state()
    assert any(not torch.equal(value, trained[name]) for name, value in last.items())
    before = world(tmp_path)[0].state()
    assert torch.equal(trained["head.weight"], before["head.weight"]), "its head is not adapted"
    assert not any(one.requires_grad for one in Kept.latest.model.head.parameters())


def test_the_unadapted_weights_are_the_judged_ones(tmp_path: Path) -> None:
    class Elsewhere(Contrast):
        def __init__(self, options: Contrast.Options, start: Start) -> None:
            super().__init__(options, start)
            self.average.head.bias.fill_(5)

    adapted = contrast(tmp_path, kind=Elsewhere)
    assert adapted.weights[0]["head.bias"].tolist() == [5, 5, 5]


def test_the_last_epochs_weights_are_the_judged_ones_where_another_is_better(
    tmp_path: Path,
) -> None:
    classifier, images = world(tmp_path)
    options = Contrast.Options()
    scores = [0.1, 0.9, 0.2, 0.3]
    adapted = train(
        classifier, images, tmp_path / "run", WHOLE, lambda _, epoch: scores[epoch], Kept, options
    )
    assert adapted.epochs == {"chosen": 1, "trained": 1, "last": 3}
    first, last = adapted.weights[1], adapted.weights[3]
    assert_same(adapted.classifier.state(), first, 0)
    adapted.load(3)
    average, trained = Kept.latest.average.state(), Kept.latest.model.state()
    assert_same(average, last, 0)
    assert all(
        any(not torch.equal(last[name], one[name]) for name in last) for one in (first, trained)
    )


@pytest.mark.parametrize(
    ("ranks", "announced"),
    [
        ((12.0, 3.0, 1.999, 2.0), ["epoch 2: the features of the val images have collapsed, from"]),
        ((1.2, 1.3, 1.2, 1.0), ["epoch 3: "]),  # Untrained features hardly differ to begin with.
        ((None, None, None, None), []),
    ],
)
def test_collapse_is_announced(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ranks: tuple[float | None, ...],
    announced: list[str],
) -> None:
    said: list[str] = []

    def validate(_: Classifier, epoch: int) -> Validation:
        return Validation(float(epoch), ranks[epoch])

    classifier, images = world(tmp_path)
    objective = Contrast(Contrast.Options(), Start(classifier, 6))
    step = TrainStep(objective, WHOLE, said.append, coupled=True)
    monkeypatch.setattr(training_module, "CHECK_STEPS", 2)
    training = training_module.Training(
        objective, step, WHOLE, tmp_path / "run", validate, said.append
    )
    training.resume()
    with Progress(quiet=True).counted(Work("fine-tune", 120, "image", 0, 1, 3)) as bar:
        training.run(images, BatchSchedule(WHOLE, images.labels, 0), bar)
    assert [epoch.effective_rank for epoch in training.history] == list(ranks)
    pairs = zip(said, announced, strict=True)
    assert all(found.startswith(expected) for found, expected in pairs)
