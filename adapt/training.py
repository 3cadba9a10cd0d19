"""A training from its last checkpoint to its end: step by step, checked, judged and saved."""

import math
import time
from collections.abc import Callable, Iterator
from itertools import accumulate, islice
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list
from msgspec.structs import replace

from adapt.checkpoint import (
    Checkpoint,
    Epoch,
    EpochProgress,
    State,
    best_of,
    damage_reported,
    damaged,
)
from adapt.data import Batch, RankBatch, TrainingImages, load, rank_batches
from adapt.models import Classifier
from adapt.optimise import learning_rate
from adapt.order import BatchSchedule, stable_seed
from adapt.train_step import TrainStep
from bench.core.errors import BenchError
from bench.core.progress import Bar
from bench.core.specs import TrainSpec
from bench.runtime import signals

CHECK_STEPS = 50
"""Steps between two looks at the losses, where alone a training waits for the device.

A process that trains alone looks after fewer when it has notice of its end.
"""

SAVE_SECONDS = 30.0
"""At most this much training is lost to a kill, plus `CHECK_STEPS` and `SAVE_SHARE`."""

SAVE_SHARE = 0.02
"""Checkpoints take at most this share of the time: a ViT-B/16's are 1.4 GB."""

Validate = Callable[[Classifier, int], float]
"""Returns what to select the epoch by, of a classifier as some epoch left it."""


class Training:
    """A training between two looks at the losses; every process holds the same.

    Args:
        classifier: What to train, in place.
        stepper: What trains it.
        spec: How.
        folder: Where checkpoints are kept.
        validate: Judges the classifier of an epoch, 0 being the unadapted one.

    Attributes:
        history: The epochs so far, from 0.
        underway: What is done of the epoch after them.
    """

    def __init__(
        self,
        classifier: Classifier,
        stepper: TrainStep,
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
        self._notice = signals.Notice()
        self.history: list[Epoch] = []
        self.underway = EpochProgress()

    def resume(self) -> None:
        """Continue from the newest checkpoint; without one, judge the unadapted classifier.

        Raises:
            BenchError: If it is damaged, or not all processes see the same one.
        """
        found = Checkpoint.load(self._folder)
        self._agree(found)
        if found is None:
            self._judge(epoch=0, loss=None, lr=0.0)
            self._save_if_time()
            return
        self.history, self.underway, self._best = found.history, found.underway, found.best
        self._done = not found.optimiser
        if self._spec.micro_batch is None:
            self._stepper.micro_batch = found.underway.micro_batch
        with damage_reported(self._folder):
            # The best weights are needed at the end, which is late to find that they do not fit.
            for weights in (found.best, found.last):
                self._classifier.load_state_dict(weights)
            if found.optimiser:
                self._stepper.load_state(found.optimiser)
        if self._accelerator.is_main_process:
            found.remove_others(self._folder)
        self._save_at = time.monotonic() + SAVE_SECONDS

    def _agree(self, found: Checkpoint | None) -> None:
        """Make sure that all processes continue from one place."""
        mine = found.name if found else ""
        names = [mine]
        broadcast_object_list(names)
        if names[0] != mine:
            raise BenchError(
                f"process {self._accelerator.process_index} finds another checkpoint in "
                f"{self._folder} than the first process",
                "keep $BENCH_HOME where all processes see the same files",
            )
        self._accelerator.wait_for_everyone()

    def run(self, images: TrainingImages, plan: BatchSchedule, bar: Bar) -> None:
        """Train through the epochs that are left.

        Raises:
            BenchError: If the checkpoint says that more is done than there is to do, or a loss or
                gradient is no number.
        """
        epochs = range(len(self.history), self._spec.epochs + 1)
        self._check_place(plan, epochs)
        batches = self._batches(images, plan, epochs)
        with signals.deferred_notice() as self._notice:
            for epoch in epochs:
                bar.work.epoch = epoch
                steps = range(plan.steps_before(epoch), plan.steps_before(epoch + 1))
                self._classifier.train()
                while self.underway.step < len(steps):
                    self._advance(steps, plan, images, batches, bar)
                    # The end of an epoch is saved when it was judged, if there is time for that.
                    if self.underway.step < len(steps) or self._notice.given:
                        self._save_if_time()
                rate = learning_rate(self._spec, steps[-1], plan.steps)
                self._judge(epoch, self.underway.loss / len(steps), rate)
                self._save_if_time()

    def _check_place(self, plan: BatchSchedule, epochs: range) -> None:
        """Make sure that the checkpoint's place is one within the training."""
        first = len(self.history)
        steps = plan.steps_before(first + 1) - plan.steps_before(first) if epochs else 0
        if self.underway.step > steps or (self._done and epochs):
            raise damaged(self._folder)

    def _batches(
        self, images: TrainingImages, plan: BatchSchedule, epochs: range
    ) -> Iterator[Batch]:
        """Yield this process's batches of some epochs, those that are done left out."""
        accelerator, done = self._accelerator, self.underway.step

        def wanted() -> Iterator[RankBatch]:
            batches = (batch for epoch in epochs for batch in plan.batches(epoch))
            left = islice(batches, done, None)
            return rank_batches(left, accelerator.process_index, accelerator.num_processes)

        return load(images, wanted, self._spec.workers, accelerator.device)

    def _advance(
        self,
        epoch: range,
        plan: BatchSchedule,
        images: TrainingImages,
        batches: Iterator[Batch],
        bar: Bar,
    ) -> None:
        """Take the next steps of an epoch, and look at what their losses were."""
        accelerator, done = self._accelerator, self.underway.step
        steps = epoch[done : done + CHECK_STEPS]
        rates = [learning_rate(self._spec, step, plan.steps) for step in steps]
        started = time.perf_counter()
        losses, norms = torch.zeros(2, len(steps), device=accelerator.device)
        taken = 0
        # The rates first: at their end a batch too many would otherwise be taken.
        for rate, (part, pixels, labels) in zip(rates, batches, strict=False):
            # For what a tower may drop; a checkpoint may be made between any two steps.
            torch.manual_seed(stable_seed(images.seed, steps[taken], accelerator.process_index))
            losses[taken] = self._stepper.backward(part, images.augment.normalise(pixels), labels)
            norms[taken] = self._stepper.step(rate)
            bar.advance(part.batch)
            taken += 1
            # Of several processes, each would hear of it at a step of its own.
            if self._notice.given and accelerator.num_processes == 1:
                break
        # A step's loss is the sum of what the processes have of it; the norm is the same in all.
        sums: list[float] = accelerator.reduce(losses, "sum")[:taken].tolist()
        self._check(sums, norms[:taken].tolist(), rates, len(epoch))
        # One by one, so that the sum is the same wherever the steps are cut.
        *_, loss = accumulate(sums, initial=self.underway.loss)
        self.underway = EpochProgress(
            step=done + taken,
            loss=loss,
            seconds=self.underway.seconds + time.perf_counter() - started,
        )

    def _check(
        self, losses: list[float], norms: list[float], rates: list[float], steps: int
    ) -> None:
        """Make sure that every step's loss and gradient were numbers."""
        for index, pair in enumerate(zip(losses, norms, strict=True)):
            if not all(map(math.isfinite, pair)):
                raise BenchError(
                    "the training loss or its gradient is no number at step "
                    f"{self.underway.step + index + 1} of {steps} of epoch {len(self.history)} "
                    f"(learning rate {rates[index]:.3g})",
                    f"lower train.lr ({self._spec.lr:g}) or use train.precision=fp32; the last "
                    f"good state is in {self._folder}",
                )

    def finish(self) -> None:
        """Keep the weights alone, and leave the classifier with those of the best epoch."""
        if not self._done:
            self._save(done=True)
        self._accelerator.wait_for_everyone()
        self._classifier.load_state_dict(self._best)
        self._classifier.eval()

    def _judge(self, epoch: int, loss: float | None, lr: float) -> None:
        """Score the classifier as it is, and add the epoch to the history."""
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
                train_seconds=self.underway.seconds,
                validate_seconds=time.perf_counter() - started,
                micro_batch=self._stepper.micro_batch,
            )
        )
        self.underway = EpochProgress()
        if best_of(self.history).epoch == epoch:
            self._best = self._classifier.state()

    def _save_if_time(self) -> None:
        if self._notice.given or time.monotonic() >= self._save_at:
            self._save(done=False)
            # The notice may have come meanwhile.
            if self._notice.given:
                self._notice.leave()

    def _save(self, *, done: bool) -> None:
        """Write a checkpoint; a training that is done keeps no optimiser state."""
        started = time.monotonic()
        if self._accelerator.is_main_process:
            Checkpoint(
                history=self.history,
                underway=replace(self.underway, micro_batch=self._stepper.micro_batch),
                last=self._classifier.state(),
                best=self._best,
                optimiser={} if done else self._stepper.state(),
            ).save(self._folder)
        now = time.monotonic()
        self._save_at = now + max(SAVE_SECONDS, (now - started) / SAVE_SHARE)
