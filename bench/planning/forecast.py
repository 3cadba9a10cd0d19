"""A forecast of a study's cost from what earlier runs of the home took.

The work has parts: images, made once for all runs of a task that use them; and each run's training,
validations, final evaluation and folder. The cost of a part is its amount times its measured rate
(`bench.planning.rates`), at the 10th, 50th and 90th percentile of the measurements. A part that was
never measured is unknown.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec
import numpy as np

from bench.core.json_values import Json, canonical_json
from bench.core.paths import Home
from bench.core.records import TOO_FEW_IMAGES
from bench.core.specs import RunSpec
from bench.planning import rates
from bench.planning.differences import leaves
from bench.planning.rates import Key, Rates
from bench.storage.run_folder import Summary

_PERCENTILES = (10, 50, 90)

_SAME_IMAGES = (
    *("size", "filter."),
    *(f"generation.{name}" for name in ("batch_size", "attention", "channels_last", "compile")),
)
"""Options of a source of captions that make more or fewer of the same images, or faster."""


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """The summed cost of some parts."""

    low: float
    expected: float
    high: float
    measurements: int
    """Number of measurements of the part that was measured least often; 0 if none was."""
    unknown: tuple[str, ...]
    """Parts that are not, or not wholly, in the sum, for want of a measurement or a known amount:
    the work, a colon, and its subject."""


class Images(msgspec.Struct, frozen=True, kw_only=True):
    """Images that a source makes once, for all runs of a task that use them."""

    task: str
    source: str
    images: int
    at_least: bool
    """Whether there may be more: retrieval fetches every match, not n of them."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of a study, and what the unfinished ones will cost."""

    runs: int
    done: int
    failed: int
    too_few_images: int
    """Runs that are not executed again, as they ask for more images than there are."""
    images: list[Images]
    """Still to be made, according to records of runs: `bench build` leaves no record."""
    trained: int
    """Images to train on, each counted once per epoch."""
    trained_at_least: bool
    """Whether some runs take all images of a source whose number is not known yet."""
    hours: dict[str, Amount]
    """Device, as records name it, to GPU-hours, or to process-hours on a CPU. A record that names
    several GPUs used them all. Empty if no run has finished."""
    disk_bytes: Amount
    files: Amount


class _Part(msgspec.Struct, frozen=True):
    """A number of images, epochs or runs that have one rate."""

    label: str
    key: Key
    amount: float
    at_least: bool = False


def forecast(specs: Mapping[str, RunSpec], known: dict[str, Summary], home: Home) -> Forecast:
    """Return the forecast of a study.

    Args:
        specs: Run id to run, `bench.steps.prepare.with_fingerprints`.
        known: Run id to the summary of its record, for all runs of this home.
        home: The home they are kept in.
    """
    states = {run_id: run.state for run_id, run in known.items() if run_id in specs}
    to_do = (None, "failed")
    unfinished = [spec for run_id, spec in specs.items() if states.get(run_id) in to_do]
    finished = [run for run in known.values() if run.status == "done"]
    groups, stock = _grouped(unfinished), _Stock(finished)
    trainings = [_training(spec, runs, stock) for spec, runs in groups]
    images, making = _images(groups, stock)
    work = [*making, *trainings, *(part for group in groups for part in _evaluations(*group))]
    folders = [
        _Part(f"run folders: {spec.model}", rates.keeping(spec), runs) for spec, runs in groups
    ]
    kept = [*making, *folders]
    byte_rates, file_rates = rates.sizes(finished, home)
    counts = Counter(states.values())
    return Forecast(
        runs=len(specs),
        done=counts["done"],
        failed=counts["failed"],
        too_few_images=counts[TOO_FEW_IMAGES],
        images=images,
        trained=round(sum(part.amount for part in trainings)),
        trained_at_least=any(part.at_least for part in trainings),
        hours={
            device: _cost(work, measured, _gpus(device) / 3600)
            for device, measured in sorted(rates.seconds(finished, home).items())
        },
        disk_bytes=_cost(kept, byte_rates),
        files=_cost(kept, file_rates),
    )


class _Stock:
    """The number of images that the sources of finished runs made and kept."""

    def __init__(self, finished: Iterable[Summary]) -> None:
        self._kept: dict[tuple[str, str, bytes], int] = {}
        self._made: Counter[tuple[str, Key, bytes]] = Counter()
        for run in finished:
            options = msgspec.json.decode(run.spec.options)
            self._kept[run.spec.task, run.spec.source, canonical_json(options)] = run.n.kept
            for source, part_options, share in _parts_of(run.spec.source, options):
                key = run.spec.task, rates.making(source, part_options), _kind(part_options)
                self._made[key] = max(self._made[key], int(run.n.fetched * share))

    def kept(self, spec: RunSpec) -> int | None:
        """Return how many images a run has that takes all; None if no such run has finished."""
        return self._kept.get((spec.task, spec.source, canonical_json(spec.options)))

    def made(self, task: str, key: Key, kind: bytes) -> int:
        """Return how many images of a kind were made for a task with one rate."""
        return self._made[task, key, kind]


def _grouped(specs: Iterable[RunSpec]) -> list[tuple[RunSpec, int]]:
    """Return one spec of each group that costs the same, and the group's size."""
    groups: dict[tuple[object, ...], tuple[RunSpec, int]] = {}
    for spec in specs:
        # Specs of a study share the objects that they have in common.
        shared = (id(spec.options), id(spec.train), id(spec.evaluators))
        key = (spec.task, spec.source, spec.model, spec.n, *shared)
        groups[key] = spec, groups.get(key, (spec, 0))[1] + 1
    return list(groups.values())


def _training(spec: RunSpec, runs: int, stock: _Stock) -> _Part:
    train, key = spec.train, rates.training(spec)
    label = f"training: {spec.model} by {spec.objective} in {train.precision}"
    if spec.n == 0:
        return _Part(label, key, 0)
    if train.steps is not None:
        return _Part(label, key, runs * train.steps * train.batch_size)
    n = stock.kept(spec) if spec.n is None else spec.n
    if n is None:
        return _Part(f"training on all of {spec.source}: {spec.task}", key, 0, at_least=True)
    return _Part(label, key, runs * n * train.epochs)


def _evaluations(spec: RunSpec, runs: int) -> Iterator[_Part]:
    epochs = spec.train.epochs if spec.n != 0 else 0
    yield _Part(f"validating: {spec.task}", rates.validating(spec), runs * (epochs + 1))
    yield _Part(f"evaluating: {spec.task}", rates.evaluating(spec), runs)


def _images(groups: list[tuple[RunSpec, int]], stock: _Stock) -> tuple[list[Images], list[_Part]]:
    """Return the images to be made, as a list to read and as parts of the work."""
    wanted: dict[tuple[str, str, Key, bytes], tuple[int, bool]] = {}
    for spec, _ in groups:
        for source, options, share in _parts_of(spec.source, spec.options):
            place = (spec.task, source, rates.making(source, options), _kind(options))
            n = max(int((spec.n or 0) * share), options.get("size") or 0)
            # A generator makes as many as are wanted; other sources make all that they have.
            wanted[place] = max(n, wanted.get(place, (0,))[0]), "generation" not in options
    missing: dict[tuple[str, str, Key], tuple[int, bool]] = {}
    for (task, source, key, kind), (n, open_end) in wanted.items():
        made = stock.made(task, key, kind)
        if (made and open_end) or made >= n > 0:
            continue
        others = missing.get((task, source, key), (0,))[0]
        missing[task, source, key] = others + n - made, open_end
    images, parts = [], []
    for (task, source, key), (n, open_end) in missing.items():
        images.append(Images(task=task, source=source, images=n, at_least=open_end))
        parts.append(_Part(f"making {source} images: {task}", key, n, at_least=open_end))
    return images, parts


def _kind(options: Json) -> bytes:
    """Return what tells images made of captions from others; nothing without captions.

    Another writer, guidance or seed makes other images. What was downloaded serves all.
    """
    if "captions" not in options:
        return b""
    told = ((name, value) for name, value in leaves(options) if not name.startswith(_SAME_IMAGES))
    return canonical_json(dict(told))


def _parts_of(source: str, options: Json, share: float = 1) -> Iterator[tuple[str, Json, float]]:
    """Yield the sources that a run's images come from, with their options and their share of n."""
    if source == "none":
        return
    parts = options.get("parts", {})
    if not parts:
        yield source, options, share
    others = {**parts, **({options["of"]: 1} if "of" in options else {})}
    for name, weight in others.items():
        part_share = share * weight / sum(others.values())
        yield from _parts_of(name, options["options"][name], part_share)


def _gpus(device: str) -> int:
    count = re.match(r"(\d+) x ", device)
    return int(count[1]) if count else 1


def _cost(parts: Iterable[_Part], measured: Rates, unit: float = 1) -> Amount:
    """Return the summed cost of parts; ``unit`` converts the rates' unit."""
    total = np.zeros(len(_PERCENTILES))
    counts: list[int] = []
    unknown: dict[str, None] = {}
    for part in parts:
        values = measured.get(part.key)
        if values and part.amount:
            total += part.amount * unit * np.percentile(values, _PERCENTILES)
            counts.append(len(values))
        if part.at_least or (part.amount and not values):
            unknown[part.label] = None
    low, expected, high = map(float, total)
    return Amount(
        low=low,
        expected=expected,
        high=high,
        measurements=min(counts, default=0),
        unknown=tuple(unknown),
    )
