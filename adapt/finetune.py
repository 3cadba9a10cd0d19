"""Fine-tuning: end to end, the epoch chosen on validation data, continued after a kill."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor

from adapt.augment import Augment
from adapt.checkpoint import Checkpoint, Epoch, State, best_of, damage_reported, damaged
from adapt.data import Batch, Part, TrainingImages, load, parts
from adapt.models import Classifier
from adapt.optimise import learning_rate
from adapt.order import Plan, stable_seed
from adapt.stepper import Stepper
from bench.errors import BenchError
from bench.progress import Bar, Progress
from bench.types import Objective, TrainSpec

SAVE_SECONDS = 30.0
"""At most this much training is lost to a kill, plus the epoch under way and `SAVE_SHARE`."""

SAVE_SHARE = 0.02
"""Checkpoints take at most this share of the time: a ViT-B/16's are 1.4 GB."""

Validate = Callable[[Classifier, int], float]
"""Returns what to select the epoch by, of a classifier as some epoch left it."""


@dataclass(frozen=True)
class Adapted:
    """What fine-tuning leaves behind.

    Attributes:
        classifier: The classifier of the chosen epoch, in evaluation mode.
        history: Every epoch, the unadapted model being epoch 0.
        chosen: The epoch with the best validation score; of equal ones, the earliest.
        images_per_second: Training speed, validation apart; None where nothing was trained.
        timings: Seconds spent in ``train`` and ``validate``, interrupted runs included.
    """

    classifier: Classifier
    history: list[Epoch]
    chosen: Epoch
    images_per_second: float | None
    timings: dict[str, float]


def finetune(  # noqa: PLR0913 (each is one thing that the run alone knows)
    classifier: Classifier,
    images: TrainingImages | None,
    objective: Objective,
    spec: TrainSpec,
    *,
    folder: Path,
    validate: Validate,
    progress: Progress,
) -> Adapted:
    """Adapt a classifier to images, in place, and return its best epoch.

    Under torchrun every process calls this; the first one judges and writes.

    Args:
        classifier: The unadapted classifier.
        images: What to train on; None leaves the classifier as it is.
        objective: What to minimise.
        spec: How; its batch size holds over all processes and whatever the memory.
        folder: Where checkpoints are kept; a training found there is continued.
        validate: Judges the classifier of an epoch, 0 being the unadapted one, on validation data.
        progress: Where to report.

    Raises:
        RequestError: If the precision is not to be had here.
        BenchError: If the loss is no longer a number (the last checkpoint is kept), or memory is
            too short.
    """
    stepper = Stepper(classifier, objective, spec, progress.say)
    training = _Training(classifier, stepper, spec, folder, validate)
    training.resume()
    if images is None:
        return training.finish(0)
    plan = Plan(spec, images.labels, images.seed)
    last = spec.epochs + 1
    with progress.bar("fine-tune", plan.images_before(last), "image") as bar:
        bar.advance(plan.images_before(len(training.history)))
        training.run(images, plan, bar)
    return training.finish(plan.images_before(last))


class _Training:
    """A training between its epochs; every process holds the same."""

    def __init__(
        self,
        classifier: Classifier,
        stepper: Stepper,
        spec: TrainSpec,
        folder: Path,
        validate: Validate,
    ) -> None:
        self._classifier = classifier
        self._stepper = stepper
        self._accelerator = stepper.accelerator
        self._spec = spec
        self._folder = folder
        self._validate = validate
        self._save_at = -math.inf
        self._best: State = {}
        self._done = False
        self.history: list[Epoch] = []

    def resume(self) -> None:
        """Continue from the newest checkpoint; without one, judge the unadapted classifier.

        Raises:
            BenchError: If it is damaged, or not all processes see the same one.
        """
        found = Checkpoint.load(self._folder)
        epochs = [len(found.history) if found else 0]
        mine = epochs[0]
        broadcast_object_list(epochs)
        if epochs[0] != mine:
            raise BenchError(
                f"process {self._accelerator.process_index} finds another checkpoint in "
                f"{self._folder} than the first process",
                "keep $BENCH_HOME where all processes see the same files",
            )
        self._accelerator.wait_for_everyone()
        if found is None:
            self._judge(epoch=0, loss=None, lr=0.0, train_seconds=0.0)
            return
        self.history, self._best, self._done = found.history, found.best, not found.optimiser
        self._stepper.micro_batch = found.history[-1].micro_batch
        with damage_reported(self._folder):
            # The best weights are needed at the end, which is late to find that they do not fit.
            for weights in (found.best, found.last):
                self._classifier.load_state_dict(weights)
            if found.optimiser:
                self._stepper.load_state(found.optimiser)
        if self._accelerator.is_main_process:
            found.remove_others(self._folder)

    def run(self, images: TrainingImages, plan: Plan, bar: Bar) -> None:
        """Train through the epochs that are left.

        Raises:
            BenchError: If the training is said to have ended before them.
        """
        accelerator, spec = self._accelerator, self._spec
        epochs = range(len(self.history), spec.epochs + 1)
        if self._done and epochs:
            raise damaged(self._folder)

        def wanted() -> Iterator[Part]:
            batches = (batch for epoch in epochs for batch in plan.batches(epoch))
            return parts(batches, accelerator.process_index, accelerator.num_processes)

        batches = load(images, wanted, spec.workers, accelerator.device)
        for epoch in epochs:
            # For what a tower may drop.
            torch.manual_seed(stable_seed(images.seed, epoch, accelerator.process_index))
            first, after = plan.steps_before(epoch), plan.steps_before(epoch + 1)
            rates = [learning_rate(spec, step, plan.steps) for step in range(first, after)]
            self._run_epoch(images.augment, islice(batches, len(rates)), rates, bar)

    def _run_epoch(
        self, augment: Augment, batches: Iterable[Batch], rates: list[float], bar: Bar
    ) -> None:
        """Train through one epoch, judge what came out, and keep it."""
        epoch, accelerator = len(self.history), self._accelerator
        started = time.perf_counter()
        losses, norms = torch.zeros(2, len(rates), device=accelerator.device)
        total = torch.zeros((), device=accelerator.device)
        self._classifier.train()
        for step, (part, pixels, labels) in enumerate(batches):
            losses[step] = self._stepper.backward(part, augment.normalise(pixels), labels)
            total += losses[step]
            norms[step] = self._stepper.step(rates[step])
            bar.advance(part.batch)
        # The only time an epoch waits for the device.
        self._check(epoch, accelerator.reduce(losses, "sum").isfinite() & norms.isfinite(), rates)
        loss = float(accelerator.reduce(total, "sum")) / len(rates)
        self._judge(epoch, loss, rates[-1], time.perf_counter() - started)

    def _check(self, epoch: int, sound: Tensor, rates: list[float]) -> None:
        """Make sure that every step's loss and gradient were numbers."""
        if not sound.all():
            step = sound.tolist().index(False)
            raise BenchError(
                f"the training loss or its gradient is no number at step {step + 1} of "
                f"{len(rates)} of epoch {epoch} (learning rate {rates[step]:.3g})",
                f"lower train.lr ({self._spec.lr:g}) or use train.precision=fp32; the last good "
                f"state is in {self._folder}",
            )

    def finish(self, images: int) -> Adapted:
        """Keep the weights alone, and return the best epoch's classifier."""
        if not self._done:
            self._save(done=True)
        self._accelerator.wait_for_everyone()
        self._classifier.load_state_dict(self._best)
        seconds = sum(epoch.train_seconds for epoch in self.history)
        return Adapted(
            classifier=self._classifier.eval(),
            history=self.history,
            chosen=best_of(self.history),
            images_per_second=images / seconds if seconds else None,
            timings={
                "train": seconds,
                "validate": sum(epoch.validate_seconds for epoch in self.history),
            },
        )

    def _judge(self, epoch: int, loss: float | None, lr: float, train_seconds: float) -> None:
        """Score the classifier as it is, add the epoch to the history, and save if it is time."""
        started = time.perf_counter()
        self._classifier.eval()
        scores = [
            self._validate(self._classifier, epoch) if self._accelerator.is_main_process else 0.0
        ]
        broadcast_object_list(scores)
        self.history.append(
            Epoch(
                epoch=epoch,
                loss=loss,
                lr=lr,
                score=scores[0],
                train_seconds=train_seconds,
                validate_seconds=time.perf_counter() - started,
                micro_batch=self._stepper.micro_batch,
            )
        )
        if best_of(self.history).epoch == epoch:
            self._best = self._classifier.state()
        if time.monotonic() >= self._save_at:
            self._save(done=False)

    def _save(self, *, done: bool) -> None:
        """Write a checkpoint; a training that is done keeps no optimiser state."""
        started = time.monotonic()
        if self._accelerator.is_main_process:
            optimiser = {} if done else self._stepper.state()
            last = self._classifier.state()
            Checkpoint(self.history, last, self._best, optimiser).save(self._folder)
        now = time.monotonic()
        self._save_at = now + max(SAVE_SECONDS, (now - started) / SAVE_SHARE)
