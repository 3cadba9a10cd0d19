"""Fine-tuning: end to end, the epoch chosen on validation data, continued after a kill."""

from dataclasses import dataclass
from pathlib import Path

from adapt.checkpoint import Epoch, best_of
from adapt.data import TrainingImages
from adapt.models import Classifier
from adapt.order import BatchSchedule
from adapt.train_step import TrainStep
from adapt.training import Training, Validate
from bench.core.progress import Progress, Work
from bench.core.specs import TrainSpec
from bench.plugins.objective import Objective


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
    stepper = TrainStep(classifier, objective, spec, progress.say)
    training = Training(classifier, stepper, spec, folder, validate)
    training.resume()
    taken = 0
    if images is not None:
        plan, epoch = BatchSchedule(spec, images.labels, images.seed), len(training.history)
        taken = plan.images_before(spec.epochs + 1)
        done = plan.images_before(epoch, training.underway.step)
        work = Work("fine-tune", taken, "image", done, min(epoch, spec.epochs), spec.epochs)
        with progress.counted(work) as bar:
            training.run(images, plan, bar)
    training.finish()
    history = training.history
    seconds = sum(epoch.train_seconds for epoch in history)
    return Adapted(
        classifier=classifier,
        history=history,
        chosen=best_of(history),
        images_per_second=taken / seconds if seconds else None,
        timings={
            "train": seconds,
            "validate": sum(epoch.validate_seconds for epoch in history),
        },
    )
