"""The rates of a forecast: what the finished runs of a home took, in time and on disk.

A rate belongs to a key, which holds the settings that decide it. Other settings are assumed to
matter little.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterator
from datetime import datetime
from math import nan
from pathlib import Path

import msgspec
import polars as pl

from bench.core.files import read_parquet
from bench.core.json_values import Json, value_at
from bench.core.paths import Home
from bench.core.specs import RunSpec
from bench.storage.run_folder import SpecSummary, Summary

Key = Hashable
Rates = dict[Key, list[float]]
"""Measurements by key."""

_SAMPLED = 50
"""Run folders of one kind, and image sets, whose files are counted: the newest."""

_DECIDING = (
    *("pool", *(f"images.{name}" for name in ("size", "suffix", "quality", "fit"))),
    *(f"generation.{name}" for name in ("model", "steps", "height", "dtype")),
)


def training(spec: RunSpec | SpecSummary) -> Key:
    """Return the key of the seconds per training image."""
    return "train", spec.model, spec.objective, spec.train.precision


def validating(spec: RunSpec | SpecSummary) -> Key:
    """Return the key of the seconds per validation of an epoch."""
    return "validate", spec.task, spec.model, spec.train.select_by


def evaluating(spec: RunSpec | SpecSummary) -> Key:
    """Return the key of the seconds of loading a model and of its final evaluation."""
    return "evaluate", spec.task, spec.model, tuple(sorted(spec.evaluators))


def keeping(spec: RunSpec | SpecSummary) -> Key:
    """Return the key of the size of a run's folder."""
    return "keep", spec.model, spec.n == 0


def making(source: str, options: Json) -> Key:
    """Return the key of the seconds and the bytes per image that a source makes."""
    values = ((name, value_at(options, name)) for name in _DECIDING)
    return "make", source, *((name, str(value)) for name, value in values if value is not None)


def seconds(done: Collection[Summary], home: Home) -> dict[str, Rates]:
    """Return, for each device that runs ran on, seconds per image, epoch or run."""
    by_device: dict[str, Rates] = defaultdict(lambda: defaultdict(list))
    for run in done:
        rates, timings = by_device[run.device], run.timings
        if run.images_per_second and run.images_per_second > 0:
            rates[training(run.spec)].append(1 / run.images_per_second)
        if {"validate", "evaluate", "load"} <= timings.keys():
            epochs = run.spec.train.epochs if run.n.used else 0
            rates[validating(run.spec)].append(timings["validate"] / (epochs + 1))
            rates[evaluating(run.spec)].append(timings["load"] + timings["evaluate"])
    made = {_manifest(folder): folder for folder in _image_sets(home)}
    for run in _makers(done, made):
        if run.n.fetched:
            by_device[run.device][_making(run)].append(run.timings["source"] / run.n.fetched)
    return by_device


def sizes(done: Collection[Summary], home: Home) -> tuple[Rates, Rates]:
    """Return the bytes and the files per run folder and per image."""
    byte_counts: Rates = defaultdict(list)
    files: Rates = defaultdict(list)
    for run in sorted(done, key=lambda run: run.finished, reverse=True):
        key = keeping(run.spec)
        if len(files[key]) < _SAMPLED:
            kept = [path.stat().st_size for path in _files(home.run(run.run_id))]
            byte_counts[key].append(sum(kept))
            files[key].append(len(kept))
    keys = {run.image_set: _making(run) for run in done if not _is_made_of_others(run)}
    for folder in _image_sets(home)[:_SAMPLED]:
        key = keys.get(_manifest(folder))
        if key is not None and (per_image := _per_image(folder, home)):
            byte_counts[key].append(per_image[0])
            files[key].append(per_image[1])
    return byte_counts, files


def _making(run: Summary) -> Key:
    return making(run.spec.source, msgspec.json.decode(run.spec.options))


def _is_made_of_others(run: Summary) -> bool:
    return not {"parts", "of"}.isdisjoint(msgspec.json.decode(run.spec.options))


def _makers(done: Collection[Summary], made: dict[str, Path]) -> Iterator[Summary]:
    """Yield, for each task and key, the run that made the first set of its images.

    A later set shares stages with the first, and a run whose set was there already measured
    nothing. Work that another process did before the run is not counted.
    """
    first: dict[Key, tuple[float, str]] = {}
    for run in done:
        if run.image_set in made and not _is_made_of_others(run):
            written = (made[run.image_set] / "manifest.json").stat().st_mtime, run.image_set
            key = (run.spec.task, _making(run))
            first[key] = min(first.get(key, written), written)
    for run in done:
        if run.image_set not in made or _is_made_of_others(run) or "source" not in run.timings:
            continue
        written_at, image_set = first[run.spec.task, _making(run)]
        if image_set == run.image_set and _began(run) <= written_at <= _began(run) + _spent(run):
            yield run


def _began(run: Summary) -> float:
    """Return when a run began, in seconds; NaN if its record does not say."""
    try:
        return datetime.fromisoformat(run.started).timestamp()
    except ValueError:
        return nan


def _spent(run: Summary) -> float:
    return run.timings["source"] + 2  # `started` is rounded, and the set is read once more.


def _image_sets(home: Home) -> list[Path]:
    """Return the folders of complete image sets, the newest first."""
    folders = [path.parent for path in home.data.glob("images-*/manifest.json")]
    return sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)


class _Manifest(msgspec.Struct):
    content: str


def _manifest(folder: Path) -> str:
    """Return the content hash of an image set."""
    try:
        content = (folder / "manifest.json").read_bytes()
        return msgspec.json.decode(content, type=_Manifest).content
    except (OSError, msgspec.MsgspecError):
        return ""


def _per_image(folder: Path, home: Home) -> tuple[float, float] | None:
    """Return bytes and files per image of a set; None if it is empty or cannot be read."""
    try:
        index = read_parquet(folder / "index.parquet", columns=["shard", "size"])
    except (OSError, pl.exceptions.PolarsError):
        return None
    if index.is_empty():
        return None
    shards = index["shard"].unique()
    files_per_shard = sum(1 for _ in _files((home.data / shards[0]).parent))
    files = len(shards) * files_per_shard
    return float(index["size"].sum()) / index.height, files / index.height


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
