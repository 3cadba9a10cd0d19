"""Evaluators on features of known geometry, and all of them through the command line."""

import json
import re
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix as sklearns_matrix
from sklearn.neighbors import KNeighborsClassifier

from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.records import RunRecord
from bench.plugins import evaluator_of
from bench.plugins.evaluation import Evaluation
from eval.few_shot import sample
from eval.knn import TEMPERATURE, neighbours
from eval.metrics.intervals import mean_per_class, scores
from eval.per_class import per_class
from tests.conftest import Bench
from tests.support.tiny_clip import ColourTask, colour_task, square
from tests.support.views import Data, View, blobs

torch.set_num_threads(1)

EVERY: dict[str, Json] = {
    "zero-shot": {}, "zero-shot-text": {}, "linear-probe": {}, "knn": {}, "per-class": {},
    "few-shot": {"shots": [1, 2], "trials": 2}, "finetuned-head": {"epochs": 3},
    "imagenet-probe": {"epochs": 3},
}  # fmt: skip


def unit_blobs(n: int, seed: int, spread: float) -> Data:
    points, labels = blobs(n, seed, spread)
    return points / np.linalg.norm(points, axis=1, keepdims=True), labels


def view(spread: float = 0.4) -> View:
    """Return features of unit length, more or less spread about three axes."""
    splits = enumerate(("train", "val", "test"), 1)
    return View({name: unit_blobs(90, seed, spread) for seed, name in splits})


def accuracy(evaluation: Evaluation) -> float:
    return float(evaluation.hits.mean())


@pytest.mark.parametrize("name", EVERY)
def test_validation_leaves_the_test_split_closed(name: str) -> None:
    model = view()
    evaluator = evaluator_of(name, EVERY[name])
    evaluator.validate(model)
    assert "test" not in model.opened
    evaluator.test(model)
    assert "test" in model.opened


@pytest.mark.parametrize(
    "name", ["linear-probe", "knn", "few-shot", "finetuned-head", "imagenet-probe"]
)
def test_what_is_chosen_does_not_depend_on_the_test_split(name: str) -> None:
    model, other = view(), view()
    other.splits["test"] = blobs(90, 77, 3.0)
    evaluations = [evaluator_of(name, EVERY[name]).test(each) for each in (model, other)]
    left, right = ([part.chosen for part in each.scored(name).values()] for each in evaluations)
    assert left == right
    assert left != [{}]


def test_the_two_zero_shots_are_of_two_heads() -> None:
    model = view(spread=0.01)
    assert accuracy(evaluator_of("zero-shot-text", {}).test(model)) == 1.0
    assert accuracy(evaluator_of("zero-shot", {}).test(model)) == pytest.approx(1 / 3)


@settings(max_examples=50, deadline=None)
@given(
    truth=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    guesses=st.lists(st.integers(0, 3), min_size=30, max_size=30),
)
def test_confusions_are_scikit_learns(truth: list[int], guesses: list[int]) -> None:
    labels, predicted = np.array(truth), np.array(guesses[: len(truth)])
    details = per_class(Evaluation(predicted, labels, {}), ("a", "b", "c", "d"))
    matrix = sklearns_matrix(labels, predicted, labels=range(4))
    wrong = np.argwhere(matrix * (1 - np.eye(4, dtype=int)))
    expected = {("abcd"[i], "abcd"[j]): matrix[i, j] for i, j in wrong}
    assert {(true, guess): count for true, guess, count in details["confusions"]} == expected
    counts = [count for _, _, count in details["confusions"]]
    assert counts == sorted(counts, reverse=True)
    for row in details["classes"]:
        index = "abcd".index(row["class"])
        assert row["n"] == matrix[index].sum()
        assert row["accuracy"] == matrix[index, index] / row["n"]
        assert row["ci_low"] - 1e-12 <= row["accuracy"] <= row["ci_high"] + 1e-12


@pytest.mark.parametrize("k", [1, 3, 20])
def test_neighbours_are_scikit_learns(k: int) -> None:
    (bank, labels), (queries, _) = (unit_blobs(90, seed, 0.7) for seed in (1, 2))
    reference = KNeighborsClassifier(
        k, metric="cosine", weights=lambda distance: np.exp(-distance / TEMPERATURE)
    ).fit(bank, labels)
    (votes,) = neighbours(bank, labels, queries, [k], 3)
    np.testing.assert_array_equal(votes, reference.predict(queries))
    # More neighbours than images are all.
    np.testing.assert_array_equal(*neighbours(bank, labels, queries, [90, 500], 3))


def test_the_number_of_neighbours_is_chosen_on_val_from_those_given() -> None:
    model = view(spread=0.9)
    chosen = evaluator_of("knn", {"k": [1, 50]}).validate(model).chosen
    alone = {k: accuracy(evaluator_of("knn", {"k": [k]}).validate(model)) for k in (1, 50)}
    assert alone[1] != alone[50]
    assert chosen == {
        "k": max(alone, key=lambda k: alone[k]),
        "val_score": pytest.approx(max(alone.values())),
    }


def unbalanced(metric: str) -> View:
    """Return features of three classes that overlap, the first with eight times the images."""
    splits = {}
    for seed, name in enumerate(("train", "val"), 4):
        points, labels = unit_blobs(240, seed, 0.8)
        rows = np.flatnonzero((labels == 0) | (np.arange(240) % 8 == 0))
        splits[name] = points[rows], labels[rows]
    return View(splits, msgspec.structs.replace(colour_task(), metric=metric))


@pytest.mark.parametrize("name", ["linear-probe", "knn", "finetuned-head"])
def test_choices_are_made_by_the_tasks_metric(name: str) -> None:
    by_accuracy, by_mean = (
        evaluator_of(name, {}).validate(unbalanced(metric))
        for metric in ("accuracy", "mean-per-class")
    )
    assert by_accuracy.chosen["val_score"] == accuracy(by_accuracy)
    best = mean_per_class(by_mean)[0]
    assert by_mean.chosen["val_score"] == best
    assert best > mean_per_class(by_accuracy)[0]


def test_few_shots_penalties_are_chosen_by_the_tasks_metric() -> None:
    few = evaluator_of("few-shot", {"shots": [4], "trials": 2})
    left, right = (few.validate(unbalanced(metric)) for metric in ("accuracy", "mean-per-class"))
    assert left.parts["4"].chosen != right.parts["4"].chosen


def test_more_shots_keep_the_images_of_fewer() -> None:
    labels = np.random.default_rng(0).integers(0, 5, 200)
    few, many = sample(labels, 2, (0, 1)), sample(labels, 8, (0, 1))
    assert set(few) < set(many)
    assert np.bincount(labels[few]).tolist() == [2] * 5
    assert set(sample(labels, 2, (0, 2))) != set(few)
    assert len(sample(labels, 1000, (0, 1))) == 200


def test_few_shots_are_scored_by_size_with_their_trials_apart() -> None:
    model = view(spread=0.8)
    evaluation = evaluator_of("few-shot", {"shots": [1, 16], "trials": 4}).test(model)
    parts = evaluation.scored("few-shot")
    assert list(parts) == ["few-shot-1", "few-shot-16"]
    assert accuracy(parts["few-shot-1"]) < accuracy(parts["few-shot-16"])
    for name, part in parts.items():
        score = scores(name, "test", "chosen", part)[0]
        assert len(score.trials) == 4
        assert len(set(score.trials)) > 1
        assert score.value == pytest.approx(np.mean(score.trials))
        assert score.n == 90
        assert score.ci_low < score.value < score.ci_high


def test_one_shot_is_the_probe_of_those_images() -> None:
    model = view(spread=0.5)
    (part,) = evaluator_of("few-shot", {"shots": [4], "trials": 1}).test(model).parts.values()
    features, labels = model.splits["train"]
    rows = sample(labels, 4, (0, 0))
    reference = LogisticRegression(C=1 / part.chosen["l2"][0], tol=1e-9, max_iter=10_000)
    reference.fit(features[rows].astype(np.float64), labels[rows])
    expected = reference.predict(model.features("test").astype(np.float64))
    assert (part.predicted[0] == expected).mean() > 0.98


def test_finetuning_mends_a_head_that_is_wrong() -> None:
    model = view(spread=0.1)
    evaluation = evaluator_of("finetuned-head", {"epochs": 300}).test(model)
    assert accuracy(evaluator_of("zero-shot", {}).test(model)) < 0.5
    assert accuracy(evaluation) > 0.9
    assert evaluation.chosen["epoch"] > 0


def test_finetuning_never_does_worse_on_val_than_the_head_does() -> None:
    model = view(spread=0.5)
    model.head = lambda: (10 * np.eye(3, 8, dtype=np.float32), np.zeros(3, np.float32))  # type: ignore[method-assign]
    before = accuracy(evaluator_of("zero-shot", {}).validate(model))
    assert accuracy(evaluator_of("finetuned-head", {}).validate(model)) >= before


@pytest.mark.parametrize(("own", "right"), [((), 0.0), (("dusk",), 1.0)])
def test_a_shifted_split_may_be_classified_among_its_own_classes(
    own: tuple[str, ...], right: float
) -> None:
    class Shifted(ColourTask, frozen=True, kw_only=True):
        @property
        def own_classes_only(self) -> tuple[str, ...]:
            return own

    task = colour_task(dusk=2)
    fields = {name: getattr(task, name) for name in task.__struct_fields__}
    # By its head, both images are of class 1, which the split has not.
    features = np.array([[0.9, 0.5, 0.1], [0.9, 0.1, 0.5]], np.float32)
    dusk = features, np.array([0, 2])
    model = View({"train": dusk, "dusk": dusk}, Shifted(**fields))
    (part,) = evaluator_of("robustness", {}).test(model).parts.values()
    assert accuracy(part) == right


@pytest.fixture
def shifted(colours: Path, tmp_path: Path) -> Path:
    """The colours with a folder of other images: red ones are shown as green, and no blue ones."""
    root = tmp_path / "task"
    root.mkdir()
    for split in ("train", "val", "test"):
        (root / split).symlink_to(colours / split)
    for name, label in (("red", 1), ("green", 1)):
        folder = root / "dusk" / name
        folder.mkdir(parents=True)
        for index in range(3):
            square(label, 500 + index).save(folder / f"{index}.png")
    (root / "task.yaml").write_text("shifted: [dusk]")
    return root


@pytest.mark.parametrize(
    ("declared", "folder", "complaint"),
    [
        ("[night]", "green", "night"),
        ("[test]", "green", "test"),
        ("[../x]", "green", "../x"),
        ("[dusk]", "violet", "'violet'"),
        ("[]", "green", "no shifted split"),
    ],
)
def test_a_shifted_split_that_is_missing_or_has_another_class_is_refused(
    shifted: Path, bench: Bench, preset: Path, declared: str, folder: str, complaint: str
) -> None:
    (shifted / "dusk" / "green").rename(shifted / "dusk" / folder)
    (shifted / "task.yaml").write_text(f"shifted: {declared}")
    words = ["--preset", str(preset), "--task", str(shifted)]
    words += ["--set", "evaluators.robustness={}"] if declared == "[]" else []
    refused = bench("run", "--source", "none", *words)
    assert refused.code == 2
    assert complaint in refused.complaint


def test_every_evaluator_through_the_command_line(
    shifted: Path, bench: Bench, preset: Path, home: Home
) -> None:
    chosen = EVERY | {"robustness": {}}
    words = ["--set", f"evaluators={json.dumps(chosen)}", "--preset", str(preset)]
    done = bench("run", "--source", "none", "--task", str(shifted), "--json", *words)
    assert done.code == 0, done.err
    record = msgspec.json.decode(bench("show", done.json["run_id"]).out, type=RunRecord)
    names = {*chosen, "few-shot-1", "few-shot-2", "robustness-dusk"} - {"few-shot", "robustness"}
    assert {(score.evaluator, score.split) for score in record.scores} == {
        (name, split) for name in names for split in ("val", "test")
    }
    tested = [s for s in record.scores if (s.split, s.metric) == ("test", "accuracy")]
    by_name = {score.evaluator: score for score in tested}
    assert by_name["robustness-dusk"].n == 6
    # Untrained: its head is the text head, and its classes' details are its own.
    assert by_name["zero-shot"].value == by_name["zero-shot-text"].value
    assert list(record.details) == ["per-class"]
    assert len(record.details["per-class"]["classes"]) == 3
    predictions = pl.read_parquet(next(home.runs.glob("*/predictions.parquet")))
    for name, score in by_name.items():
        rows = predictions.filter(pl.col("evaluator") == name)
        assert rows["key"].n_unique() == score.n
        assert (rows["label"] == rows["predicted"]).mean() == pytest.approx(score.value), name
        assert rows["key"].str.starts_with("dusk/").all() == (name == "robustness-dusk")
    collected = bench("report", "--out", str(shifted / "report"))
    assert collected.code == 0, collected.err


def test_the_evaluator_in_the_docs_works(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    page = Path(__file__).parents[2] / "docs" / "evaluation.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    plugin = tmp_path / "top_left.py"
    plugin.write_text(code)
    words = ["--preset", str(preset), "--task", str(colours), "--set", "evaluators.top-left={}"]
    done = bench("run", "--source", "none", *words, "--plugin", str(plugin), "--json")
    assert done.code == 0, done.err
    by_name = {score["evaluator"]: score for score in done.json["scores"]}
    assert by_name["top-left"]["value"] == pytest.approx(1 / 3)
