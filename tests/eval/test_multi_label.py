"""Images of several labels: which evaluators judge them, and how their numbers are shown."""

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
import torch

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.core.records import RunRecord, Score
from bench.core.task import NO_LABEL, Split, Task
from bench.plugins import evaluator_of
from bench.plugins.evaluation import Evaluation
from eval.metrics import average_precision
from eval.metrics.intervals import MULTI_LABEL_METRICS
from tests.conftest import Bench
from tests.support.tiny_clip import colour_task, square
from tests.support.views import View

torch.set_num_threads(1)

TASK = msgspec.structs.replace(colour_task(), metric="mean-average-precision")
SPLITS = ("train", "val", "test")

PLUGIN = '''
"""Two squares side by side, of one colour or of two."""

import numpy as np
from PIL import Image

from bench.core.task import Split, Task
from bench.plugins import tasks
from tests.support.tiny_clip import COLOURS, SIZE, square

PAIRS = [(0, 1), (1, 2), (2, 2), (0, 0), (0, 2)]


class Pairs(Task, frozen=True, kw_only=True):
    rendered = True

    def open_split(self, name, home):
        seed = {"train": 100, "val": 200, "test": 300}[name]
        pairs = [PAIRS[index % 5] for index in range(30)]

        def read(index):
            image = Image.new("RGB", (2 * SIZE, SIZE))
            for at, label in enumerate(pairs[index]):
                image.paste(square(label, seed + index), (at * SIZE, 0))
            return image

        targets = np.array([[label in pair for label in range(3)] for pair in pairs])
        keys = [f"{name}/{index}" for index in range(30)]
        return Split(name, keys, np.full(30, -1), read, targets)


if "pairs" not in tasks.names():  # Commands of one process load it again.
    tasks.register("pairs")(Pairs(
        name="pairs", version=1, class_names=tuple(COLOURS),
        templates=("a photo of a {} square .",), domain_texts=("a photo of a square",),
        metric="mean-average-precision",
    ))
'''


def view() -> View:
    """Return features that show, with noise, which of three classes an image has."""
    features, targets = {}, {}
    for seed, name in enumerate(SPLITS):
        generator = np.random.default_rng(seed)
        targets[name] = generator.random((120, 3)) < [0.5, 0.3, 0.2]
        points = targets[name] @ np.eye(3, 8) + 0.6 * generator.normal(size=(120, 8))
        unit = points / np.linalg.norm(points, axis=1, keepdims=True)
        features[name] = unit.astype(np.float32), np.full(120, -1)
    return View(features, TASK, targets)


def precision(evaluation: Evaluation) -> float:
    assert evaluation.scores is not None
    assert evaluation.targets is not None
    return average_precision.mean(evaluation.scores, evaluation.targets)


@pytest.mark.parametrize("name", ["zero-shot-text", "linear-probe", "knn", "per-class"])
def test_evaluators_rank_images_better_than_chance(name: str) -> None:
    model = view()
    evaluation = evaluator_of(name, {}).test(model)
    chance = model.several["test"].mean()
    # The head of `per-class` takes class 0 for class 1.
    assert precision(evaluation) > chance + (0.05 if name == "per-class" else 0.2)
    np.testing.assert_array_equal(evaluation.targets, model.several["test"])


@pytest.mark.parametrize("name", ["linear-probe", "knn"])
def test_choices_are_made_on_val_alone(name: str) -> None:
    model = view()
    chosen = evaluator_of(name, {}).validate(model)
    assert "test" not in model.opened
    assert precision(chosen) == pytest.approx(chosen.chosen["val_score"])
    assert evaluator_of(name, {}).test(model).chosen == chosen.chosen


def test_neighbours_share_out_their_weight() -> None:
    model = view()
    evaluation = evaluator_of("knn", {"k": [500]}).test(model)
    bank = np.concatenate([model.features("train"), model.features("val")]).astype(np.float64)
    has = np.concatenate([model.several["train"], model.several["val"]])
    weights = np.exp(model.features("test").astype(np.float64) @ bank.T / 0.07)
    expected = weights @ has / weights.sum(axis=1, keepdims=True)
    assert evaluation.scores is not None
    np.testing.assert_allclose(evaluation.scores, expected, rtol=1e-4)


def test_classes_apart_have_their_average_precision_and_chance_is_their_prevalence() -> None:
    model = view()
    details = evaluator_of("per-class", {}).test(model).details
    assert details["chance"] == pytest.approx(model.several["test"].mean())
    assert TASK.chance is None
    assert colour_task().chance == pytest.approx(1 / 3)
    rows = {row["class"]: row for row in details["classes"]}
    assert list(rows) == list(TASK.class_names)
    assert rows["red"]["n"] == model.several["test"][:, 0].sum()
    assert 0 < rows["blue"]["average_precision"] < 1


@pytest.fixture
def words(tmp_path: Path, preset: Path) -> list[str]:
    """The options of a run on the task of pairs."""
    plugin = tmp_path / "pairs.py"
    plugin.write_text(PLUGIN)
    return ["--preset", str(preset), "--task", "pairs", "--plugin", str(plugin)]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--set", "evaluators.few-shot={}"], "few-shot needs one label per image"),
        (["--set", "evaluators.finetuned-head={}"], "finetuned-head needs one label per image"),
        (["--set", "evaluators.imagenet-probe={}"], "imagenet-probe needs one label per image"),
        (["--set", "evaluators.linear-probe.solver=adamw"], "linear-probe needs one label"),
        (["--source", "real"], "source real has images of several labels"),
    ],
)
def test_what_needs_one_label_is_refused_before_any_work(
    bench: Bench, words: list[str], home: Home, options: list[str], complaint: str
) -> None:
    source = [] if "--source" in options else ["--source", "none"]
    refused = bench("run", *source, *words, *options)
    assert refused.code == 2
    assert complaint in refused.complaint
    assert not home.runs.exists()


def test_a_run_a_report_and_a_comparison(
    bench: Bench, words: list[str], home: Home, colours: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.symlink_to(colours / "train")
    more = ["--set", "evaluators={zero-shot: {}, linear-probe: {}, knn: {}, per-class: {}}"]
    assert bench("run", "--source", "none", *words, *more).code == 0
    more += ["--set", f"source.path={images}"]
    done = bench("run", "--source", "folder", "--n", "12", *words, *more, "--json")
    assert done.code == 0, done.err
    record = msgspec.convert(done.json, RunRecord)
    metrics = {score.metric for score in record.scores}
    assert metrics == set(MULTI_LABEL_METRICS)
    assert record.selection["metric"] == "mean-average-precision"
    predictions = pl.read_parquet(home.run(record.run_id) / "predictions.parquet")
    assert predictions["label"].is_null().all()
    for score in record.scores_at("chosen"):
        if score.split == "test" and score.metric == "mean-average-precision":
            rows = predictions.filter(evaluator=score.evaluator, at_epoch="chosen")
            assert rows["correct"].mean() == pytest.approx(score.value)
    out = tmp_path / "report"
    made = bench("report", "--out", str(out))
    assert made.code == 0, made.err
    page = (out / "report.html").read_text()
    assert "mean average precision" in page
    assert "no predictions" not in page
    (table,) = out.glob("*-differences.csv")
    pairs = pl.read_csv(table)
    assert set(pairs["metric"]) == {"mean-average-precision"}
    by_evaluator = {row["evaluator"]: row for row in pairs.iter_rows(named=True)}
    assert {"zero-shot", "linear-probe", "knn"} <= set(by_evaluator)
    shown = {s.evaluator: s.value for s in record.scores_at("chosen") if _is_tested(s)}
    unadapted = next(one for one in _records(home) if one.spec.source == "none")
    before = {s.evaluator: s.value for s in unadapted.scores_at("chosen") if _is_tested(s)}
    for name, row in by_evaluator.items():
        assert row["difference"] == pytest.approx(shown[name] - before[name]), name
        assert row["ci_low"] <= row["difference"] <= row["ci_high"]


def _is_tested(score: Score) -> bool:
    return (score.split, score.metric) == ("test", "mean-average-precision")


def _records(home: Home) -> list[RunRecord]:
    files = home.runs.glob("*/record.json")
    return [msgspec.json.decode(file.read_bytes(), type=RunRecord) for file in files]


def test_a_split_without_an_image_of_any_class_is_refused(home: Home) -> None:
    class Unlabelled(Task, frozen=True, kw_only=True):
        """A task whose images show nothing."""

        def open_split(self, name: str, home: Home) -> Split:
            none, targets = np.full(2, NO_LABEL), np.zeros((2, 3), np.bool_)
            return Split(name, ["0", "1"], none, lambda _: square(0, 0), targets)

    fields = {name: getattr(TASK, name) for name in Task.__struct_fields__}
    with pytest.raises(RequestError, match="split val has no image of any class"):
        Unlabelled(**fields | {"split_sizes": {}}).split("val", home)
