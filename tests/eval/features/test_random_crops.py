"""Random crops of a task's images: which boxes, which flips, and what decides them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adapt.models import Classifier, Clip, load_clip
from bench.core.errors import RequestError
from bench.core.paths import Home
from eval.features.model_features import Layer, ModelFeatures
from eval.features.penultimate import penultimate
from eval.features.pixels import Preprocessing
from eval.features.random_crops import RandomCrops, random_box
from eval.features.task_images import TaskImages
from tests.support.tiny_clip import colour_task, write_tiny_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return load_clip(write_tiny_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture
def images(clip: Clip, tmp_path: Path) -> TaskImages:
    return TaskImages(colour_task(), Home(tmp_path), clip.preprocess_val)


@pytest.fixture
def crops(clip: Clip) -> RandomCrops:
    preprocessing = Preprocessing.of(clip.preprocess_val)
    assert preprocessing is not None
    return RandomCrops(preprocessing)


@pytest.mark.parametrize("size", [(400, 300), (300, 500)])
def test_boxes_have_the_areas_and_ratios_of_imagenets_crops(size: tuple[int, int]) -> None:
    width, height = size
    random = np.random.default_rng(0)
    boxes = np.array([random_box(size, random) for _ in range(2000)])
    left, top, right, bottom = boxes.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= width).all()
    assert (bottom <= height).all()
    share = (right - left) * (bottom - top) / (width * height)
    ratio = (right - left) / (bottom - top)
    assert 0.07 < share.min() < 0.1
    assert share.max() > 0.7
    assert 0.73 < ratio.min() < 0.77
    assert 1.3 < ratio.max() < 1.37
    # They are anywhere: as far from the left on average as from the right.
    assert (left - (width - right)).mean() == pytest.approx(0, abs=width / 50)
    assert (top - (height - bottom)).mean() == pytest.approx(0, abs=height / 50)


@pytest.mark.parametrize(
    ("size", "box"), [((1000, 10), (493, 0, 506, 10)), ((10, 1000), (0, 493, 10, 506))]
)
def test_of_a_strip_the_middle_is_taken(size: tuple[int, int], box: tuple[int, ...]) -> None:
    # No box of 8 % of it has a ratio of at most 4:3.
    assert random_box(size, np.random.default_rng(0)) == box


def test_every_second_crop_is_flipped(crops: RandomCrops) -> None:
    slope = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (256, 1))).convert("RGB")
    rising = [
        crop[:, -1].mean() > crop[:, 0].mean()
        for crop in (crops.crop(slope, (0, row)) for row in range(400))
    ]
    assert 0.4 < np.mean(rising) < 0.6


def test_crops_are_normalised_as_the_model_has_it(clip: Clip, crops: RandomCrops) -> None:
    grey = Image.new("RGB", (40, 40), (100, 100, 100))
    expected = clip.preprocess_val(grey)
    torch.testing.assert_close(crops.normalised([crops.crop(grey, (0,))])[0], expected)


@pytest.mark.parametrize("layer", ["projection", "penultimate"])
def test_features_of_crops_are_decided_by_the_seed(
    clip: Clip, images: TaskImages, layer: Layer
) -> None:
    classifier = Classifier.from_clip(clip, colour_task())
    view = ModelFeatures(classifier, images, lambda: torch.eye(3, 16))
    first = view.augmented("train", layer, (0, 0))
    np.testing.assert_array_equal(first, view.augmented("train", layer, (0, 0)))
    for seed in ((0, 1), (1, 0)):
        assert not np.allclose(first, view.augmented("train", layer, seed), atol=1e-3)
    pixels = torch.cat(list(images.crops("train", (0, 0))))
    with torch.no_grad():
        expected = (
            classifier.features(pixels)
            if layer == "projection"
            else penultimate(classifier.visual, pixels)
        )
    np.testing.assert_allclose(first, expected.numpy(), atol=1e-5)
    assert len(first) == len(view.labels("train")) == len(view.keys("train"))


def test_an_unknown_preprocessing_is_refused(clip: Clip, tmp_path: Path) -> None:
    images = TaskImages(colour_task(), Home(tmp_path), clip.preprocess_train)
    with pytest.raises(RequestError, match=r"imagenet-probe\.augment=false"):
        next(images.crops("train", (0,)))
