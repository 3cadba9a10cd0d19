"""The training loop: from the latest checkpoint to the end, checked, validated and saved."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate.utils import broadcast_object_list
from msgspec.structs import replace
from torch import Tensor

from adapt.batches.order import BatchSchedule, stable_seed
from adapt.batches.ranks import RankBatch, rank_batches
from adapt.checkpoint import (
    Checkpoint,
    Epoch,
    EpochProgress,
    State,
    damage_reported,
    damaged,
    trained_of,
)
from adapt.data import TrainingImages, load
from adapt.gradient import Scalars
from adapt.models import Classifier, state_of
from adapt.optimise import learning_rate, weight_decay
from adapt.save_policy import SavePolicy
from adapt.train_step import TrainStep
from bench.core.errors import BenchError
from bench.core.progress import Bar
from bench.core.specs import TrainSpec
from bench.plugins.objective import Batch, Objective
from bench.plugins.optional import HasJudged
from bench.runtime import signals
from bench.runtime.float32 import float32_products

CHECK_STEPS = 50
"""Steps between two looks at the losses, the only time that a training waits for the device.

A process that trains alone looks earlier when it has notice of its end.
"""

COLLAPSED = 2.0
"""Effective rank of features below which hardly more is left than one direction."""


class Validation(NamedTuple):
    """What the validation of an epoch found."""

    score: float
    """By which epochs are compared."""
    effective_rank: float | None = None
    """Of the features of the val images; None if not known."""


Validate = Callable[[Classifier, int], Validation]
"""Validates a classifier, as an epoch left it."""


class Training:
    """A training between two looks at the losses; every process holds the same.

    Args:
        objective: The objective, trained in place.
        train_step: Takes its optimiser steps.
        spec: The training.
        folder: Where checkpoints are kept.
        validate: Validates the classifier after an epoch; 0 is unadapted.
        say: Called with a message when features collapse.

    Attributes:
        history: The epochs so far, from 0.
        progress: What is done of the epoch after them.
    """

    def __init__(
        self,
        objective: Objective,
        train_step: TrainStep,
        spec: TrainSpec,
        folder: Path,
        validate: Validate,
        say: Callable[[str], None],
    ) -> None:
        self._objective = objective
        self._module: Any = objective
        self._say = say
        self._train_step = train_step
        self._accelerator = train_step.accelerator
        self._spec = spec
        self._folder = folder
        self._validate = validate
        self._save_policy = SavePolicy()
        self._unadapted = self.judged().state()
        self._trained: State = {}
        self._done = False
        self._notice = signals.Notice()
        self.history: list[Epoch] = []
        self.progress = EpochProgress()

    def judged(self) -> Classifier:
        """Return the classifier to evaluate, as it is now."""
        judged: Classifier = (
            self._objective.judged()
            if isinstance(self._objective, HasJudged)
            else self._objective.model
        )
        return judged

    def resume(self) -> None:
        """Continue from the newest checkpoint; without one, validate the unadapted classifier.

        Raises:
            BenchError: If it is damaged, or not all processes see the same one.
        """
        checkpoint = Checkpoint.load(self._folder)
        self._check_same_in_all_processes(checkpoint)
        if checkpoint is None:
            self._end_epoch(0, {}, lr=0.0)
            self._save_if_due()
            return
        self.history, self.progress = checkpoint.history, checkpoint.progress
        self._trained, self._done = checkpoint.trained, not checkpoint.optimiser
        if self._spec.micro_batch is None:
            self._train_step.micro_batch = checkpoint.progress.micro_batch
        with damage_reported(self._folder):
            # The best weights are needed only at the end, too late to find that they do not fit.
            self.judged().load_state_dict(checkpoint.trained or self._unadapted)
            self._module.load_state_dict(checkpoint.last)
            if checkpoint.optimiser:
                self._train_step.load_state(checkpoint.optimiser)
        if self._accelerator.is_main_process:
            checkpoint.remove_others(self._folder)
        self._save_policy.saved()

    def _check_same_in_all_processes(self, checkpoint: Checkpoint | None) -> None:
        name = checkpoint.name if checkpoint else ""
        names = [name]
        broadcast_object_list(names)
        if names[0] != name:
            raise BenchError(
                f"process {self._accelerator.process_index} finds another checkpoint in "
                f"{self._folder} than the main process",
                "keep $BENCH_HOME where all processes see the same files",
            )
        self._accelerator.wait_for_everyone()

    def run(self, images: TrainingImages, schedule: BatchSchedule, bar: Bar) -> None:
        """Train for the epochs that are left.

        Raises:
            BenchError: If the checkpoint is further than the training goes, or a loss or gradient
                is not a number.
        """
        epochs = range(len(self.history), self._spec.epochs + 1)
        self._check_position(schedule, epochs)
        batches = self._batches(images, schedule, epochs)
        with signals.deferred_notice() as self._notice:
            for epoch in epochs:
                bar.work.epoch = epoch
                steps = range(schedule.steps_before(epoch), schedule.steps_before(epoch + 1))
                self._module.train()
                while self.progress.step < len(steps):
                    with float32_products(tf32=self._spec.precision == "tf32"):
                        self._advance(steps, schedule, images, batches, bar)
                    # At the end of an epoch, saving waits for its score if there is time.
                    if self.progress.step < len(steps) or self._notice.given:
                        self._save_if_due()
                rate = learning_rate(self._spec, steps[-1], schedule.steps)
                self._end_epoch(epoch, self.progress.means(), rate)
                self._save_if_due()

    def _check_position(self, schedule: BatchSchedule, epochs: range) -> None:
        """Check that the checkpoint's position is within the training."""
        first = len(self.history)
        steps = schedule.steps_before(first + 1) - schedule.steps_before(first) if epochs else 0
        if self.progress.step > steps or (self._done and epochs):
            raise damaged(self._folder)

    def _batches(
        self, images: TrainingImages, schedule: BatchSchedule, epochs: range
    ) -> Iterator[tuple[RankBatch, Batch]]:
        """Yield this process's share of the batches that are left in some epochs."""
        accelerator = self._accelerator
        first = schedule.steps_before(epochs.start) + self.progress.step
        steps = range(first, schedule.steps_before(epochs.stop))

        def shares() -> Iterator[RankBatch]:
            rank, ranks = accelerator.process_index, accelerator.num_processes
            return rank_batches(map(schedule.batch, steps), rank, ranks, schedule.per_group)

        return load(images, shares, self._spec.workers, accelerator.device)

    def _advance(
        self,
        epoch: range,
        schedule: BatchSchedule,
        images: TrainingImages,
        batches: Iterator[tuple[RankBatch, Batch]],
        bar: Bar,
    ) -> None:
        """Take the next steps of an epoch, then look at their losses."""
        accelerator, done = self._accelerator, self.progress.step
        steps = epoch[done : done + CHECK_STEPS]
        rates = [learning_rate(self._spec, step, schedule.steps) for step in steps]
        started = time.perf_counter()
        shares: list[Scalars] = []
        norms: list[Tensor] = []
        # With the batches first, zip would take one too many.
        for rate, (rank_batch, batch) in zip(rates, batches, strict=False):
            step = steps[len(norms)]
            # Patch dropout must not depend on where the training was interrupted.
            torch.manual_seed(stable_seed(images.seed, step, accelerator.process_index))
            normalised = images.normalise(batch)
            shares.append(self._train_step.backward(rank_batch, normalised, step))
            decay = weight_decay(self._spec, step, schedule.steps)
            norms.append(self._train_step.update(step, rate, decay))
            bar.advance(rank_batch.total)
            # Several processes hear of it at different steps.
            if self._notice.given and accelerator.num_processes == 1:
                break
        # Each process has its share of a loss, and the whole norm.
        sums = self._summed(shares)
        self._check_finite(sums["loss"], torch.stack(norms).tolist(), rates, len(epoch))
        self.progress = self.progress.after(sums, time.perf_counter() - started)

    def _summed(self, shares: list[Scalars]) -> dict[str, list[float]]:
        """Return what is logged, step by step, summed over the processes."""
        rows = [torch.stack([one[name] for one in shares]) for name in shares[0]]
        sums = self._accelerator.reduce(torch.stack([row.float() for row in rows]), "sum")
        return dict(zip(shares[0], sums.tolist(), strict=True))

    def _check_finite(
        self, losses: list[float], norms: list[float], rates: list[float], steps: int
    ) -> None:
        for index, pair in enumerate(zip(losses, norms, strict=True)):
            if not all(map(math.isfinite, pair)):
                raise BenchError(
                    "the training loss or its gradient is not a number at step "
                    f"{self.progress.step + index + 1} of {steps} of epoch {len(self.history)} "
                    f"(learning rate {rates[index]:.3g})",
                    f"lower train.lr ({self._spec.lr:g}) or use train.precision=fp32; the last "
                    f"good state is in {self._folder}",
                )

    def finish(self) -> dict[int, State]:
        """Reduce the checkpoint to its weights; return those of epoch 0, the best one and the last.

        The best one is the best after epoch 0.
        """
        if not self._done:
            self._save(done=True)
        self._accelerator.wait_for_everyone()
        last = {len(self.history) - 1: self.judged().state()}
        return last | {trained_of(self.history).epoch: self._trained} | {0: self._unadapted}

    def _end_epoch(self, epoch: int, means: dict[str, float], lr: float) -> None:
        """Validate the classifier as it is, and add the epoch to the history."""
        started = time.perf_counter()
        classifier = self.judged().eval()
        found: list[Validation | None] = [
            self._validate(classifier, epoch) if self._accelerator.is_main_process else None
        ]
        broadcast_object_list(found)
        score, effective_rank = found[0] or Validation(0.0)
        if epoch:
            self._announce_collapse(epoch, effective_rank)
        self.history.append(
            Epoch(
                epoch=epoch,
                loss=means.pop("loss", None),
                parts=means,
                lr=lr,
                score=score,
                effective_rank=effective_rank,
                train_seconds=self.progress.seconds,
                validate_seconds=time.perf_counter() - started,
                micro_batch=self._train_step.micro_batch,
            )
        )
        self.progress = EpochProgress()
        if epoch and trained_of(self.history).epoch == epoch:
            self._trained = classifier.state()

    def _announce_collapse(self, epoch: int, effective_rank: float | None) -> None:
        before = self.history[0].effective_rank
        if effective_rank is None or before is None:
            return
        # An untrained network's features hardly differ to begin with.
        if effective_rank < min(COLLAPSED, before):
            self._say(
                f"epoch {epoch}: the features of the val images have collapsed, from an effective "
                f"rank of {before:.2f} to {effective_rank:.2f}: all images look alike to the model"
            )

    def _save_if_due(self) -> None:
        if self._notice.given or self._save_policy.is_due():
            self._save(done=False)
            # The notice may have come in the meantime.
            if self._notice.given:
                self._notice.leave()

    def _save(self, *, done: bool) -> None:
        """Write a checkpoint; a finished training keeps no optimiser state."""
        started = time.monotonic()
        if self._accelerator.is_main_process:
            Checkpoint(
                history=self.history,
                progress=replace(self.progress, micro_batch=self._train_step.micro_batch),
                last=state_of(self._module),
                trained=self._trained,
                optimiser={} if done else self._train_step.state(),
            ).save(self._folder)
        self._save_policy.saved(time.monotonic() - started)
