"""What a study will cost, from what runs of this home took; what nobody measured is unknown.

The work is cut into parts: images, made once for all runs of a task that draw from them; and each
run's training, validations, judging and folder. A part's amount times its measured rate
(`bench.planning.rates`) is its price, at the 10th, 50th and 90th percentile of what was measured.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec
import numpy as np

from bench.core.json_values import Json, canonical_json
from bench.core.paths import Home
from bench.core.specs import RunSpec
from bench.planning import rates
from bench.planning.rates import Key, Rates
from bench.storage.run_folder import Summary

_PERCENTILES = (10, 50, 90)


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """A sum of prices."""

    low: float
    expected: float
    high: float
    measurements: int
    """Behind the part that was measured least often; 0 where none was."""
    unknown: tuple[str, ...]
    """Parts that are not in the sum, or not whole: no measurement, or no known amount. What is
    done, a colon, and to what."""


class Images(msgspec.Struct, frozen=True, kw_only=True):
    """Images that a source makes once, for all runs of a task that draw from them."""

    task: str
    source: str
    images: int
    at_least: bool
    """Whether there may be more: all that are found are fetched, not n of them."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What is left to do of a study, and what it will cost."""

    runs: int
    done: int
    failed: int
    images: list[Images]
    """Still to be made, as far as records of runs tell: `bench build` leaves none."""
    trained: int
    """Images to train on, each counted as often as it is taken."""
    trained_at_least: bool
    """Whether some runs take all images of a source, and nobody knows yet how many those are."""
    hours: dict[str, Amount]
    """Device, as records name it, to GPU-hours on it, or hours of a process on a CPU. A record that
    names several GPUs held them all. Empty where no run was finished."""
    disk_bytes: Amount
    files: Amount


class _Part(msgspec.Struct, frozen=True):
    """So many images, epochs or runs of one rate."""

    label: str
    key: Key
    amount: float
    at_least: bool = False


def forecast(specs: Mapping[str, RunSpec], known: dict[str, Summary], home: Home) -> Forecast:
    """Return what a study will cost; nothing is written.

    Args:
        specs: Run id to run, `bench.prepare.with_fingerprints`.
        known: Run id to what its record says, for all runs of this home.
        home: Where they are kept.
    """
    statuses = {run_id: run.status for run_id, run in known.items() if run_id in specs}
    left = [spec for run_id, spec in specs.items() if statuses.get(run_id) != "done"]
    finished = [run for run in known.values() if run.status == "done"]
    alike, stock = _alike(left), _Stock(finished)
    trainings = [_training(spec, runs, stock) for spec, runs in alike]
    images, making = _images(alike, stock)
    work = [*making, *trainings, *(part for pair in alike for part in _judgings(*pair))]
    folders = [
        _Part(f"run folders: {spec.model}", rates.keeping(spec), runs) for spec, runs in alike
    ]
    kept = [*making, *folders]
    byte_rates, file_rates = rates.sizes(finished, home)
    counts = Counter(statuses.values())
    return Forecast(
        runs=len(specs),
        done=counts["done"],
        failed=counts["failed"],
        images=images,
        trained=round(sum(part.amount for part in trainings)),
        trained_at_least=any(part.at_least for part in trainings),
        hours={
            device: _priced(work, measured, _gpus(device) / 3600)
            for device, measured in sorted(rates.seconds(finished, home).items())
        },
        disk_bytes=_priced(kept, byte_rates),
        files=_priced(kept, file_rates),
    )


class _Stock:
    """How many images the sources of finished runs had."""

    def __init__(self, finished: Iterable[Summary]) -> None:
        self._kept: dict[tuple[str, str, bytes], int] = {}
        self._made: Counter[tuple[str, Key]] = Counter()
        for run in finished:
            options = msgspec.json.decode(run.spec.options)
            self._kept[run.spec.task, run.spec.source, canonical_json(options)] = run.n.kept
            for source, own, share in _drawn_from(run.spec.source, options):
                made = self._made[run.spec.task, rates.making(source, own)]
                count = max(made, int(run.n.fetched * share))
                self._made[run.spec.task, rates.making(source, own)] = count

    def kept(self, spec: RunSpec) -> int | None:
        """Return how many images a run has that takes all; None if no such run was finished."""
        return self._kept.get((spec.task, spec.source, canonical_json(spec.options)))

    def made(self, task: str, key: Key) -> int:
        """Return how many images were made for a task in one way."""
        return self._made[task, key]


def _alike(specs: Iterable[RunSpec]) -> list[tuple[RunSpec, int]]:
    """Return one of all specs that cost the same, with their number."""
    groups: dict[tuple[object, ...], tuple[RunSpec, int]] = {}
    for spec in specs:
        # Specs of a study share what they have in common.
        shared = (id(spec.options), id(spec.train), id(spec.evaluators))
        key = (spec.task, spec.source, spec.model, spec.n, *shared)
        groups[key] = spec, groups.get(key, (spec, 0))[1] + 1
    return list(groups.values())


def _training(spec: RunSpec, runs: int, stock: _Stock) -> _Part:
    train, key = spec.train, rates.training(spec)
    label = f"training: {spec.model} in {train.precision}"
    n = stock.kept(spec) if spec.n is None else spec.n
    if n is None:
        return _Part(f"training on all of {spec.source}: {spec.task}", key, 0, at_least=True)
    taken = n * train.epochs if train.steps is None else train.steps * train.batch_size
    return _Part(label, key, runs * taken if n else 0)


def _judgings(spec: RunSpec, runs: int) -> Iterator[_Part]:
    epochs = spec.train.epochs if spec.n != 0 else 0
    yield _Part(f"validating: {spec.task}", rates.validating(spec), runs * (epochs + 1))
    yield _Part(f"judging: {spec.task}", rates.judging(spec), runs)


def _images(alike: list[tuple[RunSpec, int]], stock: _Stock) -> tuple[list[Images], list[_Part]]:
    """Return what images are to be made, as a list to read and as parts of the work."""
    wanted: dict[tuple[str, str, Key], tuple[int, bool]] = {}
    for spec, _ in alike:
        for source, options, share in _drawn_from(spec.source, spec.options):
            place = (spec.task, source, rates.making(source, options))
            n = max(int((spec.n or 0) * share), options.get("size") or 0)
            # A generator makes as many as are wanted; whatever else there is has an end of its own.
            wanted[place] = max(n, wanted.get(place, (0,))[0]), "generation" not in options
    images, parts = [], []
    for (task, source, key), (n, open_end) in wanted.items():
        made = stock.made(task, key)
        if (made and open_end) or made >= n > 0:
            continue
        images.append(Images(task=task, source=source, images=n - made, at_least=open_end))
        parts.append(_Part(f"making {source} images: {task}", key, n - made, at_least=open_end))
    return images, parts


def _drawn_from(source: str, options: Json, share: float = 1) -> Iterator[tuple[str, Json, float]]:
    """Yield the sources that a run's images come from, with their options and their share of n."""
    if source == "none":
        return
    parts = options.get("parts", {})
    if not parts:
        yield source, options, share
    others = {**parts, **({options["of"]: 1} if "of" in options else {})}
    for name, weight in others.items():
        part = share * weight / sum(others.values())
        yield from _drawn_from(name, options["options"][name], part)


def _gpus(device: str) -> int:
    several = re.match(r"(\d+) x ", device)
    return int(several[1]) if several else 1


def _priced(parts: Iterable[_Part], measured: Rates, unit: float = 1) -> Amount:
    """Return what parts cost in all; what of it is not known is named."""
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
