"""Features: extracted once, and cached completely or not at all."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor

from adapt.models import Classifier, Clip, ClipEmbedder, load_clip
from bench.core.arrays import FloatArray
from bench.core.paths import Home
from eval.features.model_features import ModelFeatures
from eval.features.task_images import TaskImages
from eval.zero_shot import ZeroShot
from tests.support.tiny_clip import colour_task, write_tiny_clip

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return load_clip(write_tiny_clip(tmp_path_factory.mktemp("clip")))


class Counting(Classifier):
    """A classifier that counts its forward passes."""

    calls = 0

    def features(self, images: Tensor) -> Tensor:
        self.calls += 1
        return super().features(images)


@pytest.fixture
def model(clip: Clip) -> Counting:
    classifier = Counting.from_clip(clip, colour_task())
    assert isinstance(classifier, Counting)
    return classifier


@pytest.fixture
def images(clip: Clip, tmp_path: Path) -> TaskImages:
    return TaskImages(colour_task(), Home(tmp_path), clip.preprocess_val)


def view_of(
    model: Classifier, images: TaskImages, home: Path | None = None, model_hash: str = "a"
) -> ModelFeatures:
    """Return a model's view of a task, with a cache in a home's folder, if one is given."""
    cache = home and home / "cache"
    return ModelFeatures(
        model, images, lambda: torch.eye(3, 16), cache=cache, model_hash=model_hash
    )


def test_features_are_clips_embeddings(clip: Clip, model: Counting, images: TaskImages) -> None:
    view = view_of(model.train(), images)
    embedded = ClipEmbedder(clip).images(images.split("val").images())
    np.testing.assert_allclose(view.features("val"), embedded, atol=1e-6)
    assert view.features("val").dtype == np.float32
    assert view.labels("val").tolist() == [0, 1, 2] * 4


def test_features_that_an_evaluator_saw_cost_no_other_pass(
    model: Counting, images: TaskImages
) -> None:
    view = view_of(model, images)
    before_projection = view.penultimate("val")
    assert view.seen("val") is before_projection
    assert model.calls == 0
    assert view.seen("test").shape == (15, 16)
    assert model.calls == 1


def test_features_are_extracted_once_per_model(model: Counting, images: TaskImages) -> None:
    view = view_of(model, images)
    for _ in range(2):
        view.features("val")
        view.head_logits("val")
    assert model.calls == 1
    view_of(model, images).features("val")
    assert model.calls == 2


def test_head_logits_are_the_classifiers(model: Counting, images: TaskImages) -> None:
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        expected = model(torch.cat(list(images.batches("test"))))
    logits = view_of(model, images).head_logits("test")
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-5)


def test_zero_shot_takes_the_highest_logit(model: Counting, images: TaskImages) -> None:
    view = view_of(model, images)
    evaluator = ZeroShot(ZeroShot.Options())
    for split, evaluation in (("val", evaluator.validate(view)), ("test", evaluator.test(view))):
        predicted = view.head_logits(split).argmax(axis=1)
        np.testing.assert_array_equal(evaluation.predicted, predicted)
        np.testing.assert_array_equal(evaluation.labels, view.labels(split))


def test_cache_serves_other_views_and_knows_model_split_and_preprocessing(
    clip: Clip, model: Counting, images: TaskImages, tmp_path: Path
) -> None:
    first, again = (view_of(model, images, tmp_path).features("val") for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert model.calls == 1
    view_of(model, images, tmp_path, "b").features("val")
    view_of(model, images, tmp_path).features("test")
    other = TaskImages(colour_task(), Home(tmp_path), clip.preprocess_train)
    view_of(model, other, tmp_path).features("val")
    assert model.calls == 4


def test_cache_knows_the_configuration(images: TaskImages, tmp_path: Path) -> None:
    folder = write_tiny_clip(tmp_path / "clip")
    config = folder / "open_clip_config.json"

    def embed(cache: Path | None) -> FloatArray:
        clip = load_clip(folder)
        model = Classifier.from_clip(clip, colour_task())
        return view_of(model, images, cache, clip.model_hash).features("val")

    embed(tmp_path)
    content = json.loads(config.read_text())
    content["model_cfg"]["quick_gelu"] = True
    config.write_text(json.dumps(content))
    np.testing.assert_array_equal(embed(tmp_path), embed(None))


@pytest.mark.parametrize("kept", [0, 10, 100, -1, None])
def test_half_written_cache_is_made_again(
    model: Counting, images: TaskImages, tmp_path: Path, kept: int | None
) -> None:
    whole = view_of(model, images, tmp_path).features("val")
    (path,) = (tmp_path / "cache").iterdir()
    content = path.read_bytes()
    if kept is None:
        save_file({"features": whole[:-1].copy()}, path)
    else:
        path.write_bytes(content[:kept])
    np.testing.assert_array_equal(whole, view_of(model, images, tmp_path).features("val"))
    assert model.calls == 2
    assert path.read_bytes() == content
