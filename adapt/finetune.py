"""Fine-tuning end to end: the epoch is chosen on validation data, a killed run continues."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from adapt.batches.order import BatchSchedule, check_batches
from adapt.checkpoint import Epoch, State, best_of, trained_of
from adapt.data import TrainingImages
from adapt.layers.drop_path import set_drop_path
from adapt.models import Classifier
from adapt.text_tower import TextTower
from adapt.train_step import TrainStep
from adapt.training import Training, Validate
from bench.core.errors import RequestError
from bench.core.progress import Progress, Work
from bench.core.records import AtEpoch
from bench.core.specs import TrainSpec
from bench.plugins.objective import ConfiguredObjective, Needs, Objective, Start
from bench.runtime import distributed


@dataclass(frozen=True)
class Adapted:
    """The result of fine-tuning.

    Attributes:
        classifier: The classifier, in evaluation mode; at first with the chosen epoch's weights.
        history: Every epoch; epoch 0 is the unadapted model.
        chosen: The epoch with the best validation score, the earliest of equal ones.
        trained: The same among those after epoch 0; epoch 0 if nothing was trained.
        weights: Epoch to its weights, for all epochs in `epochs`.
        images_per_second: Training speed without validation; None if nothing was trained.
        timings: Seconds spent in ``train`` and ``validate``, interrupted runs included.
    """

    classifier: Classifier
    history: list[Epoch]
    chosen: Epoch
    trained: Epoch
    weights: Mapping[int, State]
    images_per_second: float | None
    timings: dict[str, float]

    @property
    def epochs(self) -> dict[AtEpoch, int]:
        """The epochs to score; some may be the same."""
        last = self.history[-1].epoch
        return {"chosen": self.chosen.epoch, "trained": self.trained.epoch, "last": last}

    def load(self, epoch: int) -> None:
        """Give the classifier the weights of one of `epochs`."""
        self.classifier.load_state_dict(self.weights[epoch])


def finetune(  # noqa: PLR0913 (only the run knows each of these)
    classifier: Classifier,
    images: TrainingImages | None,
    objective: ConfiguredObjective,
    spec: TrainSpec,
    *,
    folder: Path,
    validate: Validate,
    progress: Progress,
    texts: TextTower | None = None,
) -> Adapted:
    """Adapt a classifier to images, in place, and return its best epoch.

    Under torchrun every process calls this; the main one validates and writes.

    Args:
        classifier: The unadapted classifier.
        images: The images to train on, as the objective needs them; None leaves the classifier as
            it is.
        objective: What to minimise.
        spec: The training; its batch size counts all processes, and memory does not change it.
        folder: Where checkpoints are kept; a training there is continued.
        validate: Validates the classifier after an epoch; 0 is unadapted.
        progress: Where to report.
        texts: The model's text tower, if the objective needs one.

    Raises:
        RequestError: If the device does not support the precision, the objective no micro-batches,
            or the tower no drop path, or the images do not make the batches.
        BenchError: If the loss is no longer a number (the last checkpoint is kept), or memory is
            too short.
    """
    needs = objective.needs
    schedule = None if images is None else _schedule(images, needs, spec)
    classifier.head.requires_grad_(needs.head)
    if spec.drop_path and images is not None:
        set_drop_path(classifier.visual, spec.drop_path)
    start = Start(classifier, schedule.steps if schedule else 0, texts)
    started = _started(objective, start, images.seed if images is not None else 0)
    train_step = TrainStep(started, spec, progress.say, coupled=needs.coupled)
    if train_step.whole and schedule is not None:
        _check_statistics(schedule)
    training = Training(started, train_step, spec, folder, validate, progress.say)
    training.resume()
    total = 0
    if images is not None and schedule is not None:
        total = _train(training, images, schedule, spec, progress)
    weights, history = training.finish(), training.history
    seconds = sum(epoch.train_seconds for epoch in history)
    adapted = Adapted(
        classifier=training.judged().eval(),
        history=history,
        chosen=best_of(history),
        trained=trained_of(history),
        weights=weights,
        images_per_second=total / seconds if seconds else None,
        timings={"train": seconds, "validate": sum(epoch.validate_seconds for epoch in history)},
    )
    adapted.load(adapted.chosen.epoch)
    return adapted


def _started(objective: ConfiguredObjective, start: Start, seed: int) -> Objective:
    """Return the objective of a model; what it makes at random depends on the seed alone."""
    # On the CPU in any case.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return objective.start(start)


def _train(
    training: Training,
    images: TrainingImages,
    schedule: BatchSchedule,
    spec: TrainSpec,
    progress: Progress,
) -> int:
    """Train for the epochs that are left; return the images of all epochs."""
    epoch, total = len(training.history), schedule.images_before(spec.epochs + 1)
    done = schedule.images_before(epoch, training.progress.step)
    work = Work("fine-tune", total, "image", done, min(epoch, spec.epochs), spec.epochs)
    with progress.counted(work) as bar:
        training.run(images, schedule, bar)
    return total


def _check_statistics(schedule: BatchSchedule) -> None:
    """Check that every batch has statistics.

    Raises:
        RequestError: If one has a single image.
    """
    if schedule.least == 1:
        raise RequestError(
            "the last batch of an epoch has one image, and batch norm needs several",
            "set another train.batch_size or --n; or train.steps, which makes every batch full",
        )


def _schedule(images: TrainingImages, needs: Needs, spec: TrainSpec) -> BatchSchedule:
    """Return the batches of a training.

    Raises:
        RequestError: If the images do not make them.
    """
    schedule = BatchSchedule(
        spec,
        images.labels,
        images.seed,
        groups=images.groups,
        per_group=needs.per_group,
        pairs=images.pairs,
        seamless=needs.coupled,
    )
    check_batches(spec, needs, distributed.count(), schedule.images_per_pass)
    return schedule
