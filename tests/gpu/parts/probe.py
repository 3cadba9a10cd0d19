"""Fit the linear probe's 45 penalties on the device, on the CPU and by scikit-learn."""

import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import torch

from bench.core.arrays import FloatArray, LabelArray
from eval.probe.grid import PENALTIES, GridFit, fit_grid
from tests.gpu.measure import Check, Figure, Machine, Note, Result
from tests.support.clip_like import embeddings

SIZES = ((8144, 512, 196), (50_000, 768, 1_000))
TINY = ((160, 16, 8), (240, 16, 12))
"""Images, dimensions and classes; the first is Stanford Cars'."""

TURNS = 3

MAX_ITER = 100
"""Scikit-learn's own; it stops there before its optimum, so that its time is a lower bound."""

Split = tuple[FloatArray, LabelArray]


def run(machine: Machine) -> Iterator[Result]:
    """Yield whether the device chooses as the CPU does, and how long each takes."""
    small, large = TINY if machine.tiny else SIZES
    train, val = made(*small, 1), made(*small, 2)
    yield from compared(machine, train, val)
    train, val = made(*large, 1), made(large[0] // 5, *large[1:], 2)
    if machine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = [machine.seconds(lambda: fitted(machine.device, train, val)) for _ in range(TURNS)]
    yield Figure(f"{len(PENALTIES)} penalties, {_shape(train)}, device", "s", seconds)
    if machine.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 1e9
        yield Figure(f"peak memory, {_shape(train)}", "GB", [peak])


def compared(machine: Machine, train: Split, val: Split) -> Iterator[Result]:
    """Yield how the device's probes differ from the CPU's, and the seconds of both and theirs."""
    fitted(machine.device, train, val)  # Warms up.
    start = time.perf_counter()
    expected = fitted(torch.device("cpu"), train, val)
    on_cpu = time.perf_counter() - start
    seconds = [machine.seconds(lambda: fitted(machine.device, train, val)) for _ in range(TURNS)]
    grid = fitted(machine.device, train, val)
    apart = abs(grid.val_accuracy[grid.chosen] - expected.val_accuracy[expected.chosen])
    yield Check("accuracy of the chosen probe, less the CPU's", float(apart), 0.0)
    moved = int((grid.predict(val[0]) != expected.predict(val[0])).sum())
    yield Note(
        f"predictions of the chosen probe that differ from the CPU's: {moved} of {len(val[1])}; "
        f"penalties {grid.l2[grid.chosen]:.3g} and {expected.l2[expected.chosen]:.3g}"
    )
    name = f"{len(PENALTIES)} penalties, {_shape(train)}"
    yield Figure(f"{name}, device", "s", seconds, [on_cpu] * TURNS, "the CPU's")
    yield Figure(f"{name}, CPU, {machine.cores} cores", "s", [on_cpu])
    if find_spec("sklearn") is None:
        yield Note("scikit-learn is not installed, and not compared with")
        return
    theirs = scikit_learn(train, val, every=22)
    yield Figure(f"{name}, scikit-learn", "s", [theirs])
    yield Figure(
        "scikit-learn's seconds a second of the device's", "", [theirs / t for t in seconds]
    )
    yield Note(f"scikit-learn: every 22nd penalty, at most {MAX_ITER} iterations, scaled up to all")


def scikit_learn(train: Split, val: Split, every: int) -> float:
    """Return the seconds of scikit-learn for all penalties, scaled up from every so many-th."""
    from sklearn.linear_model import LogisticRegression

    tried = PENALTIES[::every]
    start = time.perf_counter()
    for penalty in tried:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It says that it did not get to the optimum.
            model = LogisticRegression(C=1 / penalty, max_iter=MAX_ITER).fit(*train)
        model.score(*val)
    return (time.perf_counter() - start) * len(PENALTIES) / len(tried)


def made(n: int, dim: int, classes: int, seed: int) -> Split:
    """Return features like CLIP's with labels."""
    return embeddings(n, dim, classes, seed)


def fitted(device: torch.device, train: Split, val: Split) -> GridFit:
    """Return the probes for every penalty, fitted on a device."""
    return fit_grid(*train, *val, device=str(device))


def _shape(split: Split) -> str:
    features, labels = split
    return " x ".join(f"{size:,}" for size in (*features.shape, len(np.unique(labels))))
