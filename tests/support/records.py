"""Runs as they lie on disk, without a run: a record and its predictions on 200 test images."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import msgspec
import numpy as np
import polars as pl

from bench.core.paths import Home
from bench.core.records import AtEpoch, Counts, RunRecord, Score
from bench.core.specs import RunSpec, TrainSpec
from results.database import store
from results.experiment import Experiment

STUDY = Experiment("mini", "mini-aircraft", "mini-clip", "ce")
IMAGES, CLASSES = 200, 4


def write_run(
    home: Home,
    source: str,
    n: int | None,
    right: int = 100,
    *,
    val: float = 0.5,
    lr: float = 1e-5,
    trained: int | None = None,
    **changes: Any,
) -> RunRecord:
    """Leave a finished run that classified the first `right` test images correctly.

    With `trained`, it did so at epoch 0, and the first `trained` ones at its best trained epoch, 2.
    Changes are fields of the spec or of the record, and `kept`, `used` and `captions`, its counts.
    """
    spec = RunSpec(
        preset="mini", task="mini-aircraft", source=source, options={}, n=n,
        model="mini-clip", train=TrainSpec(lr=lr),
    )  # fmt: skip
    of_spec = {name: changes.pop(name) for name in spec.__struct_fields__ if name in changes}
    spec = msgspec.structs.replace(spec, **of_spec)
    kept, used = changes.pop("kept", 600), changes.pop("used", n or 0)
    record = RunRecord(
        run_id=spec.run_id,
        status="done",
        spec=spec,
        n=Counts(
            asked=n, matched=900, fetched=700, kept=kept, used=used,
            captions=changes.pop("captions", None),
        ),
        image_set="set-1",
        scores=[score("val", val), score("test", right / IMAGES)],
    )  # fmt: skip
    record = msgspec.structs.replace(record, **changes)
    if trained is not None:
        record = _kept_unadapted(record, trained)
    folder = home.run(spec.run_id)
    folder.mkdir(parents=True)
    (folder / "record.json").write_bytes(msgspec.json.encode(record))
    if record.status == "done":
        names = {each.evaluator for each in record.scores}
        answers = predictions(right, *sorted(names))
        if trained is not None:
            at_trained = predictions(trained, *sorted(names), at_epoch="trained")
            answers = pl.concat([answers, at_trained])
        answers.write_parquet(folder / "predictions.parquet")
    return record


def _kept_unadapted(record: RunRecord, trained: int) -> RunRecord:
    """Return a record of which validation chose epoch 0, with the scores of the trained ones."""
    others = [
        msgspec.structs.replace(each, at_epoch=at_epoch, value=trained / IMAGES)
        for at_epoch in ("trained", "last")
        for each in record.scores
    ]
    selection = {"epoch": 0, "trained_epoch": 2, "last_epoch": 3}
    scores = [*record.scores, *others]
    return msgspec.structs.replace(record, selection=selection, scores=scores)


def score(
    split: str, value: float, evaluator: str = "linear-probe", metric: str = "accuracy"
) -> Score:
    """Return a score with an interval of 7 points to either side."""
    low, high = value - 0.07, value + 0.07
    return Score(
        evaluator=evaluator, split=split, metric=metric, value=value, n=IMAGES, ci_low=low,
        ci_high=high,
    )  # fmt: skip


def predictions(right: int, *evaluators: str, at_epoch: AtEpoch = "chosen") -> pl.DataFrame:
    """Return what evaluators predicted that classified the first `right` images correctly."""
    labels = np.arange(IMAGES) % CLASSES
    predicted = np.where(np.arange(IMAGES) < right, labels, (labels + 1) % CLASSES)
    columns = {
        "split": "test",
        "at_epoch": at_epoch,
        "key": [f"image-{index}" for index in range(IMAGES)],
        "label": labels,
        "predicted": predicted,
    }
    return pl.concat(pl.DataFrame({"evaluator": name} | columns) for name in evaluators)


def write_curves(home: Home, **of_arm: dict[int, int]) -> None:
    """Leave two seeds of each arm at each n, given how many images each n gets right."""
    for source, right in of_arm.items():
        for n, seed in product(right, (0, 1)):
            write_run(home, source, n, right=right[n], seed=seed)


@contextmanager
def collected(home: Home) -> Iterator[store.Connection]:
    """Rebuild the database and open it."""
    store.collect(home)
    with store.reading(home) as connection:
        yield connection
