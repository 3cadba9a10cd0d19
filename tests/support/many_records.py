"""A home full of plausible runs, written fast: what a tuning study of many tasks leaves.

Usage: python -m tests.support.many_records HOME [--tasks 10] [--runs 2000] [--images 300]

A task has the unadapted model and three arms, at seven sizes, with three seeds each; what is left
of the runs goes into settings: learning rates and, for retrieved images, tau. Records have what
those of the miniature world have; scores rise with log n, and most with retrieved images.
"""

import argparse
import math
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from itertools import islice, product
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from bench.core.json_values import Json, readable_json
from bench.core.paths import Home
from bench.core.records import AtEpoch, Counts, RunRecord, Score
from bench.core.specs import RunSpec, TrainSpec

ARMS = {"retrieved": 0.06, "synthetic": 0.025, "mixed": 0.05}
"""Arm to what its score gains at a tenfold n."""

SIZES = (100, 320, 1_000, 3_200, 10_000, 32_000, 100_000)
SEEDS = (0, 1, 2)
EVALUATORS = ("linear-probe", "zero-shot")
EPOCHS: tuple[AtEpoch, ...] = ("chosen", "trained", "last")
CLASSES, HISTORY = 8, 11
_UNADAPTED = 0.4


def write_many(home: Home, tasks: int = 1, runs: int = 100, images: int = 0) -> None:
    """Leave finished runs in a home.

    Args:
        home: Where to.
        tasks: Number of tasks.
        runs: Number of runs of each task.
        images: Test images that each run predicted; 0 for runs without predictions.
    """
    home.runs.mkdir(parents=True, exist_ok=True)
    for task in range(tasks):
        for index, spec in enumerate(islice(specs(f"task-{task}"), runs)):
            folder = home.runs / spec.run_id
            folder.mkdir()
            (folder / "record.json").write_bytes(
                readable_json(_record(spec, index, images or 1600))
            )
            if images:
                answers = _predictions(task, spec.source, spec.n, spec.seed, images)
                (folder / "predictions.parquet").write_bytes(answers)


def specs(task: str) -> Iterator[RunSpec]:
    """Yield the specs of a task's runs, without end: setting by setting, the best one first."""
    unadapted = RunSpec(
        preset="mini", task=task, source="none", options={}, n=0, model="clip",
        evaluators={name: {} for name in EVALUATORS},
        fingerprints={"task": f"{task}@1-a8c163b6", "model": "fbaed1c5da87"},
    )  # fmt: skip
    yield unadapted
    setting = 0
    while True:
        train = TrainSpec(lr=2e-3 * 0.9**setting)
        for seed, n, source in product(SEEDS, SIZES, ARMS):
            options = _options(source, setting)
            yield msgspec.structs.replace(
                unadapted, source=source, options=options, n=n, seed=seed, train=train
            )
        setting += 1


def score_of(source: str, n: int | None, seed: int) -> float:
    """Return the expected score of an arm at the setting that validation prefers."""
    if not n or source not in ARMS:
        return _UNADAPTED
    return _UNADAPTED + ARMS[source] * math.log10(n / 50) + 0.004 * (seed - 1)


def _options(source: str, setting: int) -> Json:
    retrieved: Json = {
        "pool": "miniworld",
        "matcher": "substring",
        "download": {"shard_size": 2500, "timeout_s": 10, "opt_outs": ["noai", "noindex"]},
        "images": {"size": 32, "suffix": ".png", "quality": 95, "fit": "keep"},
        "filter": {"rule": "threshold", "model": "clip", "tau": 0.2 + 0.02 * (setting % 3)},
    }
    synthetic: Json = {
        "captions": {"writer": "grammar", "options": {}, "block_size": 256},
        "generation": {"model": "stable-diffusion", "steps": 10, "guidance": 2.5, "height": 32},
        "images": {"size": 32, "suffix": ".png", "quality": 95, "fit": "keep"},
        "seed": 0,
    }
    if source == "mixed":
        parts = {"retrieved": retrieved, "synthetic": synthetic}
        return {"parts": dict.fromkeys(parts, 0.5), "options": parts}
    return retrieved if source == "retrieved" else synthetic


def _record(spec: RunSpec, index: int, images: int) -> RunRecord:
    # Later settings are worse; the hash of the index stands for chance.
    worse = 0.002 * (index // (len(SEEDS) * len(SIZES) * len(ARMS)))
    value = score_of(spec.source, spec.n, spec.seed) - worse + 0.001 * (index * 37 % 11 - 5)
    epoch = 0 if spec.source == "none" else 7
    kept = 120_000 if spec.n else 0
    return RunRecord(
        run_id=spec.run_id,
        status="done",
        spec=spec,
        n=Counts(asked=spec.n, matched=kept * 2, fetched=kept + 9, kept=kept, used=spec.n or 0),
        image_set="" if spec.source == "none" else f"set-{spec.task}-{spec.source}",
        scores=list(_scores(value, images)),
        stage_counts=_stage_counts() if spec.n else {},
        selection={
            "split": "val", "by": "linear-probe", "metric": "accuracy", "epoch": epoch,
            "trained_epoch": epoch, "last_epoch": 10 if epoch else 0, "history": _history(value),
        },
        timings={"source": 0.9, "adapt": 20.2, "evaluate": 0.4, "train": 14.7, "validate": 4.8},
        images_per_second=866.7,
        peak_memory_mb=1116.7,
        device="CPU, 1 thread, x86_64",
        weights="b984abc9beeb37f83d25f4b2ee25b33437c38fb7db7d08e49e6743710249322f",
        versions={"python": "3.11.7", "torch": "2.14.1", "polars": "2.1.0", "numpy": "2.4.6"},
        git={"commit": "046885a59a90ce991311cd148c11a12f70054743", "dirty": False},
        started=f"2026-11-{1 + index // 86_400 % 28:02}T{_clock(index)}+00:00",
        finished=f"2026-11-{1 + index // 86_400 % 28:02}T{_clock(index + 20)}+00:00",
    )  # fmt: skip


def _clock(second: int) -> str:
    return f"{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}"


def _scores(value: float, images: int) -> Iterator[Score]:
    metrics = ("accuracy", "mean-per-class")
    for split, at_epoch, name, metric in product(("val", "test"), EPOCHS, EVALUATORS, metrics):
        its = value - 0.02 * (at_epoch == "last") - 0.03 * (name == "zero-shot")
        yield Score(
            evaluator=name, split=split, at_epoch=at_epoch, metric=metric, value=its, n=images,
            ci_low=its - 0.022, ci_high=its + 0.021,
            chosen={"l2": 3.16, "val_score": its, "rule": "one-se"} if name != "zero-shot" else {},
        )  # fmt: skip


@cache
def _stage_counts() -> Json:
    failed = {"http 404": 318, "not an image": 155, "http 403": 87, "http 500": 80}
    of_class = {"matched": 917, "fetched": 849, "decodable": 849, "kept": 714, "failed": failed}
    return {
        "rows": 30_000,
        "naming a class": 8_222,
        "flagged NSFW or UNSURE": 430,
        "incomplete": [],
        "matched": 7_743,
        "fetched": 7_103,
        "failed": failed,
        "below tau": 1_328,
        "duplicates": {"copies of val or test images": 82, "equal bytes": 97, "near copies": 79},
        "kept": 5_517,
        "classes": {f"class {index}": of_class for index in range(CLASSES)},
    }


def _history(value: float) -> list[Json]:
    return [
        {
            "epoch": epoch, "loss": 1.4 / (epoch + 1), "parts": {}, "lr": 0.002 / (epoch + 1),
            "score": value - 0.01 * abs(epoch - 7), "effective_rank": 14.376,
            "train_seconds": 2.117386027000066, "validate_seconds": 0.5641064380006355,
        }
        for epoch in range(HISTORY)
    ]  # fmt: skip


@cache
def _predictions(task: int, source: str, n: int | None, seed: int, images: int) -> bytes:
    """Return a file of the answers at the chosen epoch; runs of several settings answer alike."""
    random = np.random.default_rng([task, *source.encode(), n or 0, seed])
    # What is hard is hard for every run.
    hardness = np.random.default_rng(task).normal(size=images)
    labels = np.arange(images) % CLASSES
    parts = []
    for evaluator in EVALUATORS:
        expected = score_of(source, n, seed) - 0.03 * (evaluator == "zero-shot")
        luck = hardness + random.normal(size=images)
        right = luck < np.quantile(luck, min(expected, 1.0))
        columns = {
            "split": "test",
            "at_epoch": "chosen",
            "key": [f"test/{index:05}" for index in range(images)],
            "label": labels,
            "predicted": np.where(right, labels, (labels + 1) % CLASSES),
        }
        parts.append(pl.DataFrame({"evaluator": evaluator} | columns))
    file = BytesIO()
    pl.concat(parts).write_parquet(file)
    return file.getvalue()


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--images", type=int, default=300)
    arguments = parser.parse_args()
    write_many(Home(arguments.home), arguments.tasks, arguments.runs, arguments.images)


if __name__ == "__main__":
    main()
