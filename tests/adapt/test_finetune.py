"""Fine-tuning against a plain loop, in short memory, and when a loss is not a number."""

import copy
import itertools
import math
from collections.abc import Iterable
from pathlib import Path

import msgspec
import open_clip
import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.nn import functional

from adapt.batches.order import BatchSchedule, SampledImage, epoch_order
from adapt.data import TrainingImages
from adapt.models import Classifier
from adapt.views.augment import Augment
from bench.core.errors import BenchError, RequestError
from bench.core.specs import TrainSpec
from bench.runtime.float32 import float32_products
from tests.support.observed import Encoded, Observer
from tests.support.short_memory import ShortMemory
from tests.support.tiny_clip import colour_task, write_colours
from tests.support.tiny_training import (
    SPEC,
    EndedError,
    N,
    WatchedLoss,
    adapt,
    assert_same,
    kept,
    losses,
    position,
    save_always,
    train,
    world,
)

torch.set_num_threads(1)


def plain_loop(
    model: Classifier,
    images: TrainingImages,
    batches: list[list[SampledImage]],
    rates: list[float],
    decays: Iterable[float] = itertools.repeat(0.1),
) -> list[float]:
    """Train as anyone would; return the losses."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=0, betas=(0.9, 0.95), weight_decay=0.1)
    losses = []
    for samples, rate, decay in zip(batches, rates, decays, strict=False):
        batch = images.normalise(images[samples])
        optimiser.param_groups[0] |= {"lr": rate, "weight_decay": decay}
        loss = functional.cross_entropy(model(batch.views[0]), batch.labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


def test_three_steps_equal_a_plain_loop(tmp_path: Path) -> None:
    adapted = adapt(tmp_path, msgspec.structs.replace(SPEC, epochs=1))
    model, images = world(tmp_path)
    order = [SampledImage(1, row) for row in epoch_order(0, 1, N).tolist()]
    batches = [order[:16], order[16:32], order[32:]]
    expected = plain_loop(model, images, batches, [0.5e-3, 1e-3, 1e-3])
    assert_same(adapted.classifier.state(), model.state(), 1e-6)
    assert losses(adapted) == pytest.approx([sum(expected) / 3], rel=1e-6)
    assert adapted.history[1].lr == 1e-3


def test_fixed_steps_are_taken_whatever_n_is(tmp_path: Path) -> None:
    spec = msgspec.structs.replace(SPEC, steps=7, epochs=2, sampling="balanced", warmup_steps=7)
    adapted = adapt(tmp_path, spec)
    model, images = world(tmp_path)
    schedule = BatchSchedule(spec, images.labels, 0)
    rates = [1e-3 * step / 7 for step in range(1, 8)]
    expected = plain_loop(model, images, schedule.batches(1) + schedule.batches(2), rates)
    assert_same(adapted.classifier.state(), model.state(), 2e-6)
    means = [sum(expected[:3]) / 3, sum(expected[3:]) / 4]
    assert losses(adapted) == pytest.approx(means, rel=1e-6)
    assert adapted.history[2].lr == 1e-3


def test_each_step_has_its_weight_decay(tmp_path: Path) -> None:
    values = {"epochs": 1, "weight_decay": 4.0, "weight_decay_end": 20.0, "warmup_steps": 0}
    adapted = adapt(tmp_path, msgspec.structs.replace(SPEC, **values))
    model, images = world(tmp_path)
    order = [SampledImage(1, row) for row in epoch_order(0, 1, N).tolist()]
    batches = [order[:16], order[16:32], order[32:]]
    # Half a cosine over three steps.
    plain_loop(model, images, batches, [1e-3, 0.75e-3, 0.25e-3], [4.0, 8.0, 16.0])
    assert_same(adapted.classifier.state(), model.state(), 1e-6)


@pytest.mark.slow
def test_vit_b_16_equals_a_plain_loop(tmp_path: Path) -> None:
    """Random weights, 224 pixels, three steps at a rate that moves every weight."""
    torch.manual_seed(0)
    tower = open_clip.create_model("ViT-B-16").visual
    head = functional.normalize(torch.randn(3, 512), dim=1) * 100
    image_set = write_colours(tmp_path / "data", 3, colour_task())
    crop = Augment.of(open_clip.image_transform(224, is_train=True))
    images = TrainingImages(image_set.data, image_set.index(), [crop], seed=0)
    spec = TrainSpec(epochs=1, batch_size=1, lr=1e-4, warmup_steps=0)
    model = Classifier(copy.deepcopy(tower), head)
    before = model.state()
    classifier, recording = Classifier(tower, head), WatchedLoss()
    train(classifier, images, tmp_path / "run", spec, objective=recording)
    batches = BatchSchedule(spec, images.labels, 0).batches(1)
    # Half a cosine: cos² of 0, 30 and 60 degrees.
    expected = plain_loop(model, images, batches, [1e-4, 0.75e-4, 0.25e-4])
    assert recording.values == pytest.approx(expected, rel=1e-6)
    after = classifier.state()
    assert_same(after, model.state(), 2e-6)
    assert min((after[name] - value).abs().max() for name, value in before.items()) > 1e-4


def test_accumulation_and_short_memory_equal_the_full_batch(tmp_path: Path) -> None:
    whole, memory = adapt(tmp_path, run="whole"), ShortMemory(room=5)
    parts = adapt(tmp_path, msgspec.structs.replace(SPEC, micro_batch=5), run="parts")
    halved = adapt(tmp_path, objective=memory, run="halved")
    for adapted in (parts, halved):
        assert_same(whole.classifier.state(), adapted.classifier.state(), 2e-6)
        assert losses(adapted) == pytest.approx(losses(whole), rel=1e-5)
    assert memory.seen == [4] * 30
    assert [epoch.micro_batch for epoch in halved.history] == [None, 4, 4, 4]
    assert {epoch.micro_batch for epoch in whole.history} == {None}
    with pytest.raises(BenchError, match=r"memory is too short for 1 images"):
        adapt(tmp_path, objective=ShortMemory(room=0), run="none")


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: out of memory\nCUDA kernel errors might be reported later",
    ],
)
def test_short_memory_in_a_libraries_words_halves_the_forward_pass(
    tmp_path: Path, said: str
) -> None:
    memory = ShortMemory(5, RuntimeError(said))
    adapted = adapt(tmp_path, msgspec.structs.replace(SPEC, epochs=1), objective=memory)
    assert adapted.history[1].micro_batch == 4


def test_another_runtime_error_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="CUBLAS_STATUS_EXECUTION_FAILED"):
        adapt(tmp_path, objective=ShortMemory(5, RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED")))


def test_frozen_tower_stays(tmp_path: Path) -> None:
    before = world(tmp_path)[0].state()
    spec = TrainSpec(epochs=1, batch_size=16, lr=1e-2, warmup_steps=0, freeze_tower=True)
    after = adapt(tmp_path, spec).classifier.state()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("scores", "chosen"), [([0.2, 0.5, 0.5, 0.5], 1), ([0.9, 0.5, 0.9, 0.1], 0)]
)
def test_earliest_of_equal_epochs_is_chosen_and_no_change_is_a_candidate(
    tmp_path: Path, scores: list[float], chosen: int
) -> None:
    before, left = world(tmp_path)[0].state(), iter(scores)
    adapted = adapt(tmp_path, scores=lambda *_: next(left))
    assert adapted.chosen.epoch == chosen
    assert [epoch.score for epoch in adapted.history] == scores
    if chosen == 0:
        assert_same(adapted.classifier.state(), before, 0)


def test_the_best_trained_weights_and_the_last_are_there_beside_the_chosen(tmp_path: Path) -> None:
    left, states = iter([0.9, 0.2, 0.5, 0.5]), []

    def validate(classifier: Classifier, _: int) -> float:
        states.append(classifier.state())
        return next(left)

    for _ in range(2):  # The second time, from what the finished training keeps.
        adapted = adapt(tmp_path, scores=validate)
        assert adapted.epochs == {"chosen": 0, "trained": 2, "last": 3}
        for epoch in adapted.epochs.values():
            adapted.load(epoch)
            assert_same(adapted.classifier.state(), states[epoch], 0)
    assert len(states) == 4


@pytest.mark.parametrize("epochs", [0, 3])
def test_nothing_to_train_on_leaves_the_classifier(tmp_path: Path, epochs: int) -> None:
    classifier, every = world(tmp_path)
    before = classifier.state()
    images = every if epochs == 0 else None
    adapted = train(classifier, images, tmp_path / "run", TrainSpec(epochs=epochs), lambda *_: 0.4)
    assert_same(adapted.classifier.state(), before, 0)
    assert [(epoch.epoch, epoch.score) for epoch in adapted.history] == [(0, 0.4)]
    assert adapted.epochs == {"chosen": 0, "trained": 0, "last": 0}
    assert adapted.images_per_second is None


def test_reduced_precision_trains_weights_of_full_precision(tmp_path: Path) -> None:
    full = adapt(tmp_path, run="fp32")
    reduced = adapt(tmp_path, msgspec.structs.replace(SPEC, precision="bf16"), run="bf16")
    assert {value.dtype for value in reduced.classifier.state().values()} == {torch.float32}
    assert losses(reduced) == pytest.approx(losses(full), rel=0.05)
    assert losses(reduced) != losses(full)


@pytest.mark.parametrize("precision", ["fp16", "tf32"])
def test_precision_that_a_cpu_does_not_train_in_is_refused(tmp_path: Path, precision: str) -> None:
    spec = msgspec.structs.replace(SPEC, precision=precision)
    with pytest.raises(RequestError, match=rf"{precision} needs a CUDA device; use train\."):
        adapt(tmp_path, spec)
    assert not (tmp_path / "run").exists()


def test_float32_is_float32_whatever_the_process_allows(tmp_path: Path) -> None:
    """cuDNN convolves in TF32 by default, and a process may have allowed it in products."""
    seen = set()

    class Looking(Observer):
        def loss(self, encoded: Encoded, labels: Tensor, plain: Tensor) -> Tensor:
            seen.add((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))
            return plain

    with float32_products(tf32=True):
        adapt(tmp_path, msgspec.structs.replace(SPEC, epochs=1), objective=Looking())
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
    assert seen == {("highest", False)}


@pytest.mark.slow(minutes=4)
def test_compiled_and_plain_trainings_continue_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of 16, 16 and 8, of which a tower drops half of the patches."""
    save_always(monkeypatch)

    def later_is_better(_: Classifier, epoch: int) -> float:
        return float(epoch)

    def end_the_second(classifier: Classifier, epoch: int) -> float:
        if epoch == 2:
            raise EndedError
        return later_is_better(classifier, epoch)

    plain = adapt(tmp_path, scores=later_is_better, run="plain", patch_dropout=0.5)
    before = counters["stats"]["unique_graphs"]
    spec = msgspec.structs.replace(SPEC, compile=True)
    with pytest.raises(EndedError):
        adapt(tmp_path, spec, end_the_second, patch_dropout=0.5)
    assert counters["stats"]["unique_graphs"] - before == 2, "a full batch's, and any size's"
    adapted = adapt(tmp_path, scores=later_is_better, patch_dropout=0.5)
    assert losses(adapted) == pytest.approx(losses(plain), rel=1e-5)
    assert_same(adapted.classifier.state(), plain.classifier.state(), 1e-4)


def test_environment_does_not_scale_the_gradient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = msgspec.structs.replace(SPEC, epochs=1)
    before = adapt(tmp_path, spec, run="before")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "8")
    after = adapt(tmp_path, spec, run="after")
    assert_same(after.classifier.state(), before.classifier.state(), 0)


def test_finished_training_is_not_repeated_and_keeps_no_optimiser(tmp_path: Path) -> None:
    first = adapt(tmp_path)
    second = adapt(tmp_path, scores=lambda *_: pytest.fail("validated again"))
    assert_same(first.classifier.state(), second.classifier.state(), 0)
    assert second.history == first.history
    files = sorted(path.name for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert files == ["last.safetensors", "trained.safetensors", "training.json"]


class Poison(Observer):
    """Cross-entropy that is not a number from some call on, or whose gradient is not."""

    def __init__(self, calls: int, *, gradient: bool = False) -> None:
        self.calls = calls
        self._gradient = gradient

    def loss(self, encoded: Encoded, labels: Tensor, plain: Tensor) -> Tensor:
        self.calls -= 1
        if self.calls >= 0:
            return plain
        # Zero, with an infinite slope.
        logits = encoded["logits"]
        cliff = (logits - logits.detach()).abs().sum().sqrt()
        return plain + cliff if self._gradient else plain * math.nan


@pytest.mark.parametrize("gradient", [False, True])
def test_loss_that_is_no_number_stops_and_keeps_the_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gradient: bool
) -> None:
    save_always(monkeypatch)
    with pytest.raises(BenchError, match=r"at step 2 of 3 of epoch 2 .*; lower train\.lr"):
        adapt(tmp_path, objective=Poison(calls=4, gradient=gradient))
    assert position(tmp_path) == (2, 0)
    assert all(value.isfinite().all() for value in kept(tmp_path).last.values())
    assert adapt(tmp_path).history[-1].epoch == 3
    # Within an epoch it stops at the next look at the losses.
    save_always(monkeypatch, check_steps=2)
    poison, folder = Poison(calls=8, gradient=gradient), tmp_path / "within"
    with pytest.raises(BenchError, match="at step 9 of 20 of epoch 1 "):
        adapt(folder, msgspec.structs.replace(SPEC, batch_size=2), objective=poison)
    assert poison.calls == -2
    assert position(folder) == (1, 8)
    assert all(value.isfinite().all() for value in kept(folder).last.values())
