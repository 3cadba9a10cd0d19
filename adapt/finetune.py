"""Fine-tuning: end to end, the epoch chosen on validation data, continued after a kill."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from adapt.checkpoint import Checkpoint, Epoch, State, best_of
from adapt.data import Piece, TrainingImages, epoch_order, load, pieces, stable_seed
from adapt.models import Classifier
from adapt.optimise import learning_rate, make_optimiser, set_learning_rate
from bench.errors import BenchError, RequestError
from bench.progress import Bar, Progress
from bench.types import Objective, TrainSpec

SAVE_SECONDS = 30.0
"""At most this much training is lost to a kill, plus the epoch under way."""


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
    validate: Callable[[Classifier], float],
    progress: Progress,
) -> Adapted:
    """Adapt a classifier to images, in place, and return its best epoch.

    Args:
        classifier: The unadapted classifier.
        images: What to train on; None leaves the classifier as it is.
        objective: What to minimise.
        spec: How; its batch size holds over all processes and whatever the memory.
        folder: Where checkpoints are kept; a training found there is continued.
        validate: Returns what to select the epoch by, from validation data alone.
        progress: Where to report.

    Raises:
        RequestError: If the precision is not to be had here.
        BenchError: If the loss is no longer a number; the last checkpoint is kept.
    """
    training = _Training(classifier, objective, spec, folder, validate)
    training.resume()
    if images is None:
        return training.finish(0)
    with progress.bar("fine-tune", spec.epochs * len(images), "image") as bar:
        bar.advance((len(training.history) - 1) * len(images))
        while len(training.history) <= spec.epochs:
            training.run_epoch(images, bar)
    return training.finish(len(images))


class _Objective(nn.Module):
    """The loss as a module, so that wrappers for precision and processes see one forward pass."""

    def __init__(self, classifier: Classifier, objective: Objective) -> None:
        super().__init__()
        self.classifier = classifier
        self._objective = objective

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self._objective.loss(self.classifier, images, labels)
        return loss


class _Training:
    """A training between its epochs; every process holds the same."""

    def __init__(
        self,
        classifier: Classifier,
        objective: Objective,
        spec: TrainSpec,
        folder: Path,
        validate: Callable[[Classifier], float],
    ) -> None:
        self._classifier = classifier
        self._spec = spec
        self._folder = folder
        self._validate = validate
        self._accelerator = _accelerator(classifier.device, spec.precision)
        classifier.visual.requires_grad_(not spec.freeze_tower)
        loss = _Objective(classifier, objective)
        self._loss, self._optimiser = self._accelerator.prepare(loss, make_optimiser(loss, spec))
        self._saved_at = -math.inf
        self._best: State = {}
        self._done = False
        self.history: list[Epoch] = []

    def resume(self) -> None:
        """Continue from the newest checkpoint; without one, judge the unadapted classifier."""
        found = Checkpoint.load(self._folder)
        self._accelerator.wait_for_everyone()
        if found is None:
            self._judge(epoch=0, loss=None, lr=0.0, train_seconds=0.0)
            return
        self.history, self._best, self._done = found.history, found.best, not found.optimiser
        self._classifier.load_state_dict(found.last)
        if found.optimiser:
            self._optimiser.load_state_dict(found.optimiser["optimiser"])
        if found.optimiser and self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(found.optimiser["scaler"])

    def run_epoch(self, images: TrainingImages, bar: Bar) -> None:
        """Train through one epoch, judge what came out, and keep it."""
        epoch, spec, accelerator = len(self.history), self._spec, self._accelerator
        started = time.perf_counter()
        rank, ranks = accelerator.process_index, accelerator.num_processes
        torch.manual_seed(stable_seed(images.seed, epoch, rank))  # For what a tower may drop.
        order = epoch_order(images.seed, epoch, len(images))
        micro = spec.micro_batch or spec.batch_size
        parts = list(pieces(order, epoch, spec.batch_size, micro, rank, ranks))
        steps = sum(part.last for part in parts)
        step, all_steps = (epoch - 1) * steps, spec.epochs * steps
        rate = 0.0
        total = torch.zeros((), device=accelerator.device)
        self._classifier.train()
        for part, pixels, labels in load(images, parts, spec.workers, accelerator.device):
            total += self._backward(part, pixels, labels)
            bar.advance(len(part.draws) * ranks)
            if part.last:
                rate = learning_rate(spec, step, all_steps)
                self._step(rate)
                step += 1
        # The only time an epoch waits for the device.
        loss = float(accelerator.reduce(total, "sum")) / steps
        if not math.isfinite(loss):
            raise BenchError(
                f"the training loss of epoch {epoch} is {loss}",
                f"lower train.lr ({spec.lr:g}) or use train.precision=fp32; the last good state "
                f"is in {self._folder}",
            )
        self._judge(epoch, loss, rate, time.perf_counter() - started)

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
            images_per_second=images * (len(self.history) - 1) / seconds if seconds else None,
            timings={
                "train": seconds,
                "validate": sum(epoch.validate_seconds for epoch in self.history),
            },
        )

    def _backward(self, part: Piece, pixels: Tensor, labels: Tensor) -> Tensor:
        """Add a piece's share of the batch's gradient; return its share of the loss."""
        accelerator = self._accelerator
        with nullcontext() if part.last else accelerator.no_sync(self._loss):
            loss = self._loss(pixels, labels) * part.weight
            # Gradients are averaged over processes; the shares of a batch are to be added.
            accelerator.backward(loss * accelerator.num_processes)
        detached: Tensor = loss.detach()
        return detached

    def _step(self, rate: float) -> None:
        set_learning_rate(self._optimiser, rate)
        self._accelerator.clip_grad_norm_(self._loss.parameters(), self._spec.clip_norm)
        self._optimiser.step()
        self._optimiser.zero_grad()

    def _judge(self, epoch: int, loss: float | None, lr: float, train_seconds: float) -> None:
        """Score the classifier as it is, add the epoch to the history, and save if it is time."""
        started = time.perf_counter()
        self._classifier.eval()
        scores = [self._validate(self._classifier) if self._accelerator.is_main_process else 0.0]
        broadcast_object_list(scores)
        self.history.append(
            Epoch(
                epoch=epoch,
                loss=loss,
                lr=lr,
                score=scores[0],
                train_seconds=train_seconds,
                validate_seconds=time.perf_counter() - started,
            )
        )
        if best_of(self.history).epoch == epoch:
            self._best = self._classifier.state()
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self._save(done=False)

    def _save(self, *, done: bool) -> None:
        """Write a checkpoint; a training that is done keeps no optimiser state."""
        if self._accelerator.is_main_process:
            scaler = self._accelerator.scaler
            optimiser = {
                "optimiser": self._optimiser.state_dict(),
                "scaler": scaler.state_dict() if scaler is not None else {},
            }
            last = self._classifier.state()
            Checkpoint(self.history, last, self._best, {} if done else optimiser).save(self._folder)
        self._saved_at = time.monotonic()


def _accelerator(device: torch.device, precision: str) -> Accelerator:
    # A process would otherwise keep the precision of its first training.
    AcceleratorState._reset_state()
    try:
        return Accelerator(
            cpu=device.type == "cpu", mixed_precision="no" if precision == "fp32" else precision
        )
    except ValueError as error:
        raise RequestError(
            f"train.precision={precision} is not to be had here: {error}",
            "use train.precision=fp32",
        ) from error
