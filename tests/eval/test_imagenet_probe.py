"""ImageNet's probe: what it trains, what it chooses on, and what it opens."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from bench.core.arrays import LabelArray
from bench.core.errors import BenchError
from bench.core.json_values import Json
from bench.plugins import evaluator_of
from eval.imagenet_probe import RATES, _parted
from eval.probe.sgd import Probes
from tests.conftest import Bench
from tests.support.tiny_clip import colour_task
from tests.support.views import View, blobs

torch.set_num_threads(1)


def view(spread: float, n: int = 90, metric: str = "accuracy") -> View:
    names = ("train", "val", "test")
    task = msgspec.structs.replace(colour_task(), metric=metric)
    return View({name: blobs(n, seed, spread) for seed, name in enumerate(names)}, task)


def probe(**options: Any) -> Any:
    return evaluator_of("imagenet-probe", options)


@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_separable_classes_are_told_apart_without_a_fault(augment: bool, batch_norm: bool) -> None:
    model = view(spread=0.01)
    one = probe(augment=augment, batch_norm=batch_norm, features="projection", batch_size=16)
    assert one.validate(model).hits.mean() == 1.0
    assert model.opened == {"train", "val"}
    assert one.test(model).hits.mean() == 1.0


def trained(model: View, rows: LabelArray, rates: tuple[float, ...], options: Json) -> Probes:
    """Return classifiers trained on the features of some whole images."""
    features = torch.from_numpy(model.penultimate("train")[rows])
    labels = torch.from_numpy(model.labels("train")[rows])
    sizes = {"epochs": options["epochs"], "batch_size": options["batch_size"]}
    probes = Probes(features, 3, rates, **sizes, batch_norm=True, seed=0)
    for _ in range(options["epochs"]):
        probes.epoch(features, labels)
    return probes


def test_the_rate_is_chosen_on_images_held_out_and_all_are_trained_on() -> None:
    model, options = view(spread=0.5), {"augment": False, "epochs": 5, "batch_size": 16}
    evaluation = probe(**options, held_out=0.3).validate(model)
    rows, held_out = _parted(model.keys("train"), 0.3)
    assert len(held_out) == 27
    assert sorted([*rows, *held_out]) == list(range(90))
    choosing = trained(model, rows, RATES, options)
    shown = torch.from_numpy(model.penultimate("train")[held_out])
    truth = model.labels("train")[held_out]
    logits = [choosing.scores(shown, which) for which in range(len(RATES))]
    scores = [(one.argmax(1).numpy() == truth).mean() for one in logits]
    # Several rates have the best score: the least loss tells them apart.
    losses = [
        float(torch.nn.functional.cross_entropy(one, torch.from_numpy(truth))) for one in logits
    ]
    equal = [which for which, one in enumerate(scores) if one == max(scores)]
    assert len(equal) > 1
    rate = RATES[min(equal, key=lambda which: losses[which])]
    assert rate not in (RATES[0], RATES[-1])
    assert evaluation.chosen == {
        "rate": rate, "held_out": 27, "held_out_score": pytest.approx(max(scores))
    }  # fmt: skip
    final = trained(model, np.arange(90), (rate,), options)
    val = torch.from_numpy(model.penultimate("val"))
    np.testing.assert_array_equal(evaluation.predicted, final.scores(val, 0).argmax(1).numpy())


def test_neither_val_nor_test_chooses() -> None:
    model, other = view(spread=0.8), view(spread=0.8)
    other.splits |= {"val": blobs(90, 50, 3.0), "test": blobs(90, 51, 3.0)}
    chosen = [probe(epochs=5).test(each).chosen for each in (model, other)]
    assert chosen[0] == chosen[1]


def test_a_rate_at_which_training_diverges_is_never_chosen() -> None:
    options: Json = {"augment": False, "epochs": 9, "batch_norm": False}
    model = view(spread=0.5)
    assert probe(**options, rates=[0.1, 1e38]).validate(model).chosen["rate"] == 0.1
    with pytest.raises(BenchError, match="not finite"):
        probe(**options, rates=[1e38]).validate(model)


def test_images_are_held_out_by_their_names_whatever_their_order() -> None:
    names = [f"{index}.jpg" for index in range(100)]
    _, held_out = _parted(names, 0.2)
    _, of_reversed = _parted(names[::-1], 0.2)
    assert {names[row] for row in held_out} == {names[::-1][row] for row in of_reversed}
    more = _parted(names, 0.4)[1]
    assert set(held_out) < set(more)
    assert [len(rows) for rows in _parted(["a", "b"], 0.1)] == [1, 1]
    with pytest.raises(BenchError, match="needs 2 training images, and the task has 1"):
        _parted(["a"], 0.1)


def test_the_choice_is_made_by_the_tasks_metric() -> None:
    """Of a class with eight times the images, accuracy thinks more than the mean per class."""

    def unbalanced(metric: str) -> View:
        model = view(0.9, 480, metric)
        points, labels = model.splits["train"]
        rows = np.flatnonzero((labels == 0) | (np.arange(480) % 8 == 0))
        model.splits["train"] = points[rows], labels[rows]
        return model

    options = {"epochs": 4, "held_out": 0.5, "batch_size": 32}
    by_accuracy, by_mean = (
        probe(**options).validate(unbalanced(metric)).chosen
        for metric in ("accuracy", "mean-per-class")
    )
    assert by_accuracy["held_out_score"] != by_mean["held_out_score"]
    assert by_accuracy["rate"] != by_mean["rate"]


def test_each_model_has_a_classifier_of_its_own_and_repeats_it() -> None:
    models = [view(spread=0.6), view(spread=0.8)]
    shared = probe(epochs=3)
    for model in [*models, models[0]]:
        ours, theirs = shared.test(model), probe(epochs=3).test(model)
        np.testing.assert_array_equal(ours.predicted, theirs.predicted)
        assert ours.chosen == theirs.chosen


@pytest.mark.parametrize(
    "option", ["held_out=0", "held_out=1", "rates=[]", "rates=[0]", "batch_size=0", "epochs=0"]
)
def test_wrong_options_are_refused(bench: Bench, preset: Path, colours: Path, option: str) -> None:
    words = ["--preset", str(preset), "--task", str(colours)]
    refused = bench(
        "run", "--source", "none", *words, "--set", f"evaluators.imagenet-probe.{option}"
    )
    assert refused.code == 2
    assert option.partition("=")[0] in refused.complaint
