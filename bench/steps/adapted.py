"""The classifier that a finished run chose, from its checkpoint."""

from typing import TYPE_CHECKING

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.core.records import RunRecord
from bench.planning.command import command_of
from bench.steps import loaded

if TYPE_CHECKING:
    from adapt.models import Classifier


def adapted_classifier(record: RunRecord, home: Home) -> "Classifier":
    """Return the classifier of the epoch that validation data chose; its head may be another.

    Raises:
        RequestError: If the run is not done, its model is not the one that was adapted, or its
            weights were not kept.
        BenchError: If they are damaged.
    """
    from adapt.checkpoint import Checkpoint, damage_reported, damaged, trained_of
    from adapt.models import Classifier

    spec, folder = record.spec, home.run(record.run_id) / "checkpoints"
    if record.status != "done":
        raise RequestError(f"run {record.run_id} is not done", "see `bench status`")
    model = str(home.find_weights(spec.model))
    if loaded.clip_of(model).weights_hash != record.weights:
        raise RequestError(
            f"the weights {spec.model} are others than those that run {record.run_id} adapted",
            "restore them, or repeat the run",
        )
    # The head is in the checkpoint; that of an unadapted model has no part in its patches.
    classifier = Classifier.from_clip(
        loaded.start_of(spec, home), loaded.task_of(spec).at(home), "random", spec.seed
    )
    epoch = record.selection.get("epoch", 0)
    if epoch == 0:
        return classifier
    checkpoint = Checkpoint.load(folder)
    if checkpoint is None:
        again = command_of(spec)
        raise RequestError(
            f"the weights of run {record.run_id} were not kept: {folder} is empty",
            f"repeat it: {again} --fresh" if again else "repeat the run with --fresh",
        )
    if trained_of(checkpoint.history).epoch != epoch:
        raise damaged(folder)
    with damage_reported(folder):
        classifier.load_state_dict(checkpoint.trained)
    return classifier.eval()
