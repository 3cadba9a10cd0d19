"""Speed of the linear probe's grid against scikit-learn's over the same grid.

Usage: python tests/benchmarks/perf_probe.py [--sizes mini,aircraft,cars] [--every 4]
           [--tolerance 1e-4]

scikit-learn is timed on every so many-th penalty, and scaled up. Its default tolerance stops it far
from the optimum at small penalties; 1e-8 gets it there. Both run in as many threads as the
environment allows.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from eval.probe.grid import PENALTIES, fit_grid
from tests.support.clip_like import embeddings

SIZES = {"mini": (320, 128, 8), "aircraft": (3334, 512, 100), "cars": (8144, 512, 196)}


def objective(
    weight: np.ndarray, bias: np.ndarray, x: np.ndarray, y: np.ndarray, l2: float
) -> float:
    scores = x.astype(np.float64) @ weight.astype(np.float64).T + bias
    loss = logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]
    return float(loss.sum() + 0.5 * l2 * np.square(weight.astype(np.float64)).sum())


def clocks() -> np.ndarray:
    """Return the wall clock and this process's CPU seconds, which others' load does not touch."""
    return np.array([time.perf_counter(), time.process_time()])


def measure(name: str, every: int, tolerance: float) -> None:
    (x, y), (val_x, val_y) = (embeddings(*SIZES[name], seed) for seed in (1, 2))
    fit_grid(x[:100], y[:100], val_x[:100], val_y[:100])
    start = clocks()
    grid = fit_grid(x, y, val_x, val_y)
    ours = clocks() - start
    theirs, accuracies, excess = np.zeros(2), [], []
    for index in range(0, len(PENALTIES), every):
        l2 = PENALTIES[index]
        start = clocks()
        model = LogisticRegression(C=1 / l2, tol=tolerance, max_iter=10_000).fit(x, y)
        accuracies.append(model.score(val_x, val_y))
        theirs += clocks() - start
        reached = objective(model.coef_, model.intercept_, x, y, l2)
        excess.append(reached / objective(grid.weights[index], grid.biases[index], x, y, l2) - 1)
    theirs *= len(PENALTIES) / len(excess)
    wall, cpu = theirs / ours
    print(
        f"{name}: ours {ours[0]:.2f} s, scikit-learn {theirs[0]:.1f} s, ratio {wall:.1f}, of CPU "
        f"seconds {cpu:.1f}; "
        f"best val accuracy {grid.val_accuracy.max():.4f} against {max(accuracies):.4f}; "
        f"its objective exceeds ours by {min(excess):.1e} to {max(excess):.1e}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{torch.get_num_threads()} threads")
    for size in arguments.sizes.split(","):
        measure(size, arguments.every, arguments.tolerance)
