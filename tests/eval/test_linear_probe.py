"""The linear probe's protocol: what it fits, what it chooses, and what it opens."""

import json
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bench.core.records import RunRecord
from bench.plugins import evaluator_of
from bench.plugins.evaluation import Evaluation
from eval.linear_probe import LinearProbe
from eval.probe.grid import Rule, fit_grid
from tests.conftest import Bench
from tests.support.views import View, blobs

torch.set_num_threads(1)


def view(spread: float, n: int = 60) -> View:
    names = ("train", "val", "test")
    return View({name: blobs(n, seed, spread) for seed, name in enumerate(names)})


def accuracy(evaluation: Evaluation) -> float:
    return float(evaluation.hits.mean())


def predicted(x: Any, y: Any, l2: float, test: Any) -> Any:
    """Return what scikit-learn's probe predicts, in float64."""
    reference = LogisticRegression(C=1 / l2, tol=1e-9, max_iter=10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reference.fit(x.astype(np.float64), y).predict(test.astype(np.float64))


@pytest.mark.parametrize("normalise", ["l2", "standardise"])
def test_separable_classes_are_told_apart_without_a_fault(normalise: str) -> None:
    model = view(spread=0.01)
    probe = evaluator_of("linear-probe", {"normalise": normalise})
    assert accuracy(probe.validate(model)) == 1.0
    assert model.opened == {"train", "val"}
    assert accuracy(probe.test(model)) == 1.0


@pytest.mark.parametrize("rule", ["one-se", "best"])
def test_validation_reports_the_chosen_and_the_best_of_the_grid(rule: Rule) -> None:
    model = view(spread=0.6)
    evaluation = LinearProbe(LinearProbe.Options(rule=rule)).validate(model)
    grid = fit_grid(*model.splits["train"], *model.splits["val"], rule=rule)
    assert evaluation.chosen == {
        "l2": grid.l2[grid.chosen],
        "val_score": pytest.approx(accuracy(evaluation)),
        "rule": rule,
        "best_val_score": pytest.approx(grid.val_score.max()),
    }
    assert rule == "one-se" or grid.chosen == grid.best


def test_test_refits_on_train_and_val_with_the_chosen_penalty() -> None:
    splits = {"train": blobs(30, 5, 0.6), "val": blobs(30, 55, 0.6), "test": blobs(900, 3, 0.6)}
    model, probe = View(splits), evaluator_of("linear-probe", {"rule": "best"})
    evaluation = probe.test(model)
    assert evaluation.chosen == probe.validate(model).chosen
    assert evaluation.chosen["l2"] < 1  # Else the refit would be the path's first anyway.
    x, y = (np.concatenate([splits["train"][i], splits["val"][i]]) for i in (0, 1))
    expected = predicted(x, y, evaluation.chosen["l2"], model.features("test"))
    assert (expected == evaluation.predicted).mean() > 0.995


def test_standardising_does_not_depend_on_the_scale() -> None:
    plain = view(spread=0.6)
    scaled = {name: (x * np.float32(100) + 5, y) for name, (x, y) in plain.splits.items()}
    probe = evaluator_of("linear-probe", {"normalise": "standardise"})
    left, right = probe.validate(plain), probe.validate(View(scaled))
    np.testing.assert_array_equal(left.predicted, right.predicted)


def test_each_model_gets_a_grid_of_its_own() -> None:
    models = [view(spread=0.6), view(spread=0.8)]
    shared = evaluator_of("linear-probe", {})
    for model in [*models, models[0]]:
        fresh = evaluator_of("linear-probe", {})
        pairs = [(probe.validate(model), probe.test(model)) for probe in (shared, fresh)]
        for ours, theirs in zip(*pairs, strict=True):
            np.testing.assert_array_equal(ours.predicted, theirs.predicted)
            assert ours.chosen == theirs.chosen


def test_the_authors_probe_learns_and_repeats_itself() -> None:
    model = view(spread=0.3)
    probe = evaluator_of("linear-probe", {"solver": "adamw"})
    first, again = probe.test(model), probe.test(model)
    np.testing.assert_array_equal(first.predicted, again.predicted)
    assert accuracy(first) > 0.9
    assert first.chosen == {}


@pytest.mark.parametrize("normalise", ["l2", "standardise"])
def test_the_probe_of_penultimate_features_is_of_those(normalise: str) -> None:
    model = view(spread=0.5)
    probe = evaluator_of("linear-probe", {"features": "penultimate", "normalise": normalise})
    evaluation = probe.test(model)
    splits = ("train", "val", "test")
    train, val, test = (model.penultimate(name).astype(np.float64) for name in splits)
    both = np.concatenate([train, val])
    if normalise == "l2":
        both, test = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (both, test))
    else:
        mean, deviation = both.mean(axis=0), both.std(axis=0)
        both, test = (both - mean) / deviation, (test - mean) / deviation
    labels = np.concatenate([model.labels("train"), model.labels("val")])
    expected = predicted(both, labels, evaluation.chosen["l2"], test)
    assert (evaluation.predicted == expected).mean() > 0.98


@pytest.mark.slow(minutes=1)
def test_the_baseline_is_the_same_with_any_number_of_threads(
    bench_process: Bench, tmp_path: Path
) -> None:
    study = tmp_path / "baselines.yaml"
    tasks = ["aircraft", "cars", "flowers"]
    grid = [{"product": {"task": tasks, "source": ["none"], "n": ["all"]}}]
    study.write_text(json.dumps({"name": "baselines", "preset": "mini", "grid": grid}))

    def baselines(threads: str) -> dict[str, Any]:
        home = tmp_path / threads
        words = ("sweep", str(study), "--on", "debug")
        done = bench_process(*words, home_=home, OMP_NUM_THREADS=threads)
        assert done.code == 0, done.err
        found = {}
        for path in home.glob("runs/*/record.json"):
            record = msgspec.json.decode(path.read_bytes(), type=RunRecord)
            predictions = pl.read_parquet(path.with_name("predictions.parquet"))
            probe = [score for score in record.scores if score.evaluator == "linear-probe"]
            predicted = predictions.filter(pl.col("evaluator") == "linear-probe").to_dicts()
            found[record.spec.task] = probe, predicted
        return found

    one = baselines("1")
    assert len(one) == 3
    assert baselines("2") == one
    assert baselines("4") == one
