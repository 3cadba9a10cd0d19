"""The evaluator `segmentation`: on tokens of known geometry, and through the command line."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from bench.core.arrays import FloatArray, MaskArray
from bench.core.errors import BenchError, RequestError
from bench.core.files import read_parquet
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.task import Split
from bench.plugins import evaluator_of
from bench.plugins.evaluation import Overlap
from eval.metrics import mean_iou
from tests.conftest import Bench
from tests.support.command_line import request
from tests.support.scenes import write_scenes
from tests.support.tiny_clip import colour_task, write_tiny_clip
from tests.support.views import View, blobs

SMALL: Json = {"steps": 60, "batch_size": 4, "lr": [1e-3, 0.1]}


def seen(overlap: Overlap | None) -> Overlap:
    assert overlap is not None
    return overlap


class Scenes(View):
    """A model that sees each patch's mean colour, and a split's images with the masks they have.

    Images are 32 pixels, patches 4; a mask's class is as bright as `LEVELS` of its label.
    """

    LEVELS = np.array([0, 40, 120, 200, 255])

    def __init__(self, scratch: Path, hidden: tuple[str, ...] = ()) -> None:
        super().__init__({name: blobs(6, 1, 0.4) for name in ("train", "val", "test")})
        self.scratch = scratch
        self.hidden = hidden
        self.asked: list[str] = []

    def split(self, name: str) -> Split:
        self.asked.append(name)
        masks = [self.mask(name, index) for index in range(6)]
        keys = [f"{name}-{index}" for index in range(6)]

        def read(index: int) -> Image.Image:
            levels = self.LEVELS[masks[index]].astype(np.uint8)
            return Image.fromarray(np.repeat(levels[..., None], 3, axis=2))

        shown = [mask * (name not in self.hidden) for mask in masks]
        return Split(name, keys, np.zeros(6, np.int64), read, mask=shown.__getitem__)

    @staticmethod
    def mask(name: str, index: int) -> MaskArray:
        """Return quarters of three classes and the background, of whole patches."""
        generator = np.random.default_rng([sum(name.encode()), index])
        quarters = generator.permutation(np.arange(1, 5)).reshape(2, 2)
        return quarters.repeat(16, axis=0).repeat(16, axis=1).astype(np.uint8)

    def patch_tokens(
        self, read: Callable[[int], Image.Image], n: int, size: int
    ) -> Iterator[FloatArray]:
        for start in range(0, n, 4):
            images = [read(index).resize((size, size)) for index in range(start, min(start + 4, n))]
            pixels = np.stack([np.asarray(one, np.float32)[..., 0] for one in images]) / 255
            level = pixels.reshape(len(images), size // 4, 4, size // 4, 4).mean(axis=(2, 4))
            yield np.stack([level, level**2, level**3], axis=-1)


def test_a_head_finds_what_tokens_show(tmp_path: Path) -> None:
    found = evaluator_of("segmentation", SMALL | {"steps": 300}).test(Scenes(tmp_path))
    assert mean_iou.mean(seen(found.overlap)) > 0.8
    assert [row["class"] for row in found.details["classes"]] == [
        "red", "green", "blue", "background",
    ]  # fmt: skip
    assert seen(found.overlap).keys == [f"test-{index}" for index in range(6)]
    # Every pixel of an image is in the union of some class.
    assert (seen(found.overlap).unions.sum(axis=1) >= 32 * 32).all()


def test_test_is_not_opened_for_a_choice_and_the_rate_is_the_best_on_val(tmp_path: Path) -> None:
    model, evaluator = Scenes(tmp_path), evaluator_of("segmentation", SMALL)
    chosen = evaluator.validate(model).chosen
    assert "test" not in model.asked
    assert chosen["val_scores"][str(chosen["lr"])] == max(chosen["val_scores"].values())
    assert chosen["val_score"] == max(chosen["val_scores"].values())
    assert evaluator.test(model).chosen == chosen
    for rate, score in chosen["val_scores"].items():
        alone = evaluator_of("segmentation", SMALL | {"lr": [float(rate)]})
        assert alone.validate(Scenes(tmp_path)).chosen["val_score"] == score


def test_the_choice_does_not_depend_on_test_and_heads_are_of_one_model(tmp_path: Path) -> None:
    evaluator = evaluator_of("segmentation", SMALL)
    first = evaluator.validate(Scenes(tmp_path))
    other = evaluator.validate(Scenes(tmp_path, hidden=("test",)))
    assert first.chosen == other.chosen
    with pytest.raises(BenchError, match="no pixel of the test images counts"):
        evaluator.test(Scenes(tmp_path, hidden=("test",)))


def test_pixels_of_label_0_teach_nothing_and_count_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Scenes.mask
    halves = staticmethod(lambda name, index: whole(name, index) * (np.arange(32) < 16))
    evaluator = evaluator_of("segmentation", SMALL)
    monkeypatch.setattr(Scenes, "mask", halves)
    found = evaluator.validate(Scenes(tmp_path))
    unions, shared = seen(found.overlap).unions, seen(found.overlap).intersections
    assert (2 * 512 - shared.sum(axis=1) == unions.sum(axis=1)).all()


def test_masks_of_other_sizes_are_scored_at_their_own(tmp_path: Path) -> None:
    ade = write_scenes(tmp_path / "ade", training=20, validation=4)
    options = SMALL | {"path": str(ade), "size": 32, "steps": 150}
    evaluator = evaluator_of("segmentation", options)
    found = evaluator.test(Scenes(tmp_path))
    counted = [
        int((np.asarray(Image.open(path)) > 0).sum())
        for path in sorted((ade / "annotations/validation").iterdir())
    ]
    shared, unions = seen(found.overlap).intersections, seen(found.overlap).unions
    assert (unions.sum(axis=1) == 2 * np.array(counted) - shared.sum(axis=1)).all()
    assert {row["class"] for row in found.details["classes"]} >= {"1", "2", "3"}
    assert mean_iou.by_class(seen(found.overlap))[:3].mean() > 0.5


def test_tokens_beyond_float16_are_an_error_and_no_silent_zero(tmp_path: Path) -> None:
    class Large(Scenes):
        def patch_tokens(self, *asked: Any) -> Iterator[FloatArray]:
            return (batch * np.float32(1e6) for batch in super().patch_tokens(*asked))

    with pytest.raises(BenchError, match="not finite in float16"):
        evaluator_of("segmentation", SMALL).validate(Large(tmp_path))


def test_a_task_without_masks_needs_a_folder(tmp_path: Path) -> None:
    evaluator: Any = evaluator_of("segmentation", SMALL)
    with pytest.raises(RequestError, match="have no masks for the evaluator segmentation"):
        evaluator.check(colour_task())
    with pytest.raises(RequestError, match=r"no \.jpg files in .*images/training"):
        evaluator_of("segmentation", {"path": str(tmp_path)}).check(colour_task())  # type: ignore[attr-defined]


QUICK = ("--set=evaluators.segmentation.steps=4", "--set=evaluators.segmentation.lr=[0.01]")


def test_a_run_is_segmented_on_a_folder_of_its_own(
    bench: Bench,
    home: Home,
    preset: Path,
    colours: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ade = write_scenes(tmp_path / "ade", training=20, validation=4)
    words = request(
        preset, colours, "--n", "12", *QUICK, "--set", "train.epochs=1",
        "--set", f"evaluators.segmentation.path={ade}",
        "--set", "evaluators.segmentation.size=64",
        "--set", "train.select_by=segmentation",
    )  # fmt: skip
    outcome = bench(*words)
    assert outcome.code == 0, outcome.err
    record = outcome.json
    mious = [row for row in record["scores"] if row["evaluator"] == "segmentation"]
    assert {row["metric"] for row in mious} == {"miou"}
    assert {(row["split"], row["n"]) for row in mious} == {("val", 2), ("test", 4)}
    chosen = next(row for row in mious if (row["split"], row["at_epoch"]) == ("val", "chosen"))
    best = max(epoch["score"] for epoch in record["selection"]["history"])
    assert chosen["value"] == pytest.approx(best)
    assert "segmentation" in record["spec"]["fingerprints"]
    rows = read_parquet(home.run(record["run_id"]) / "predictions.parquet")
    of_masks = rows.filter(pl.col("evaluator") == "segmentation", pl.col("at_epoch") == "chosen")
    assert of_masks["key"].to_list() == [f"validation/0000{index}" for index in range(4)]
    tested = next(row for row in mious if (row["split"], row["at_epoch"]) == ("test", "chosen"))
    assert of_masks["correct"].mean() == pytest.approx(tested["value"])
    monkeypatch.chdir(tmp_path)
    nearby = [word.replace(str(ade), "ade") for word in words]
    assert bench(*nearby, "--dry-run").json["run_id"] == record["run_id"]
    # Another mask under an old name is another run.
    Image.new("L", (48, 40), 1).save(ade / "annotations/validation/00000.png")
    assert bench(*words, "--dry-run").json["run_id"] != record["run_id"]


@pytest.mark.slow(minutes=0.2)  # It renders 2,320 images and masks.
def test_a_miniature_task_has_masks(bench: Bench, preset: Path) -> None:
    words = ["run", "--preset", str(preset), "--source", "none", "--task", "mini-flowers", "--json"]
    record = bench(*words, *QUICK).json
    (tested,) = (
        row
        for row in record["scores"]
        if (row["evaluator"], row["split"], row["at_epoch"]) == ("segmentation", "test", "chosen")
    )
    assert tested["ci_low"] <= tested["value"] <= tested["ci_high"]
    assert record["details"]["segmentation"]["classes"][-1]["class"] == "background"


def test_wrong_requests_are_refused_before_any_work(
    bench: Bench, home: Home, preset: Path, colours: Path, tmp_path: Path
) -> None:
    ade = write_scenes(tmp_path / "ade", training=20, validation=4)
    of = f"evaluators.segmentation.path={ade}"

    def refused(*settings: str) -> str:
        outcome = bench(*request(preset, colours, *(f"--set={one}" for one in settings)))
        assert outcome.code == 2
        assert not home.runs.exists()
        return outcome.complaint

    assert "have no masks" in refused("evaluators.segmentation={}")
    assert "33 x 33 pixels are not of whole patches" in refused(
        of, "evaluators.segmentation.size=33"
    )
    assert "size: expected `int` <= 4096" in refused(of, "evaluators.segmentation.size=100000")
    resnet = write_tiny_clip(tmp_path / "resnet", batch_norm=True)
    said = refused(of, f"model={resnet}")
    assert "the evaluator segmentation looks at patches" in said
    assert "--set evaluators.segmentation=null" in said
    (ade / "annotations/training/00002.png").unlink()
    assert "images/training/00002.jpg has no mask" in refused(of)
