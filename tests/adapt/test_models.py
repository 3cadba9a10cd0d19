"""The classifier: its heads, its frozen batch statistics, its files."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from adapt.models import Classifier, Clip, ClipEmbedder, load_clip, random_head, text_head
from bench.core.errors import BenchError, RequestError
from bench.core.specs import TrainSpec
from bench.core.task import Task
from tests.support.tiny_clip import SIGLIP, SIZE, colour_task, square, write_tiny_clip
from tests.support.tiny_training import N, adapt, world

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return load_clip(folder)


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


TASK = colour_task()


def test_text_head_is_open_clips_zero_shot_classifier_times_the_scale(clip: Clip) -> None:
    reference = open_clip.build_zero_shot_classifier(
        clip.model, clip.tokenizer, TASK.class_names, TASK.templates
    )
    expected = reference.T * clip.model.logit_scale.exp()
    # Rows are as long as the scale, about 14, of which 5e-6 are a few units in the last place.
    torch.testing.assert_close(text_head(clip, TASK), expected, rtol=1e-6, atol=5e-6)


def test_unadapted_logits_are_clips_similarities(clip: Clip) -> None:
    with torch.no_grad():
        features = clip.model.encode_image(images(4), normalize=True)
        logits = Classifier.from_clip(clip, TASK)(images(4))
    torch.testing.assert_close(logits, features @ text_head(clip, TASK).T, rtol=1e-5, atol=1e-5)


def test_the_head_is_float32_when_the_tower_is_not(clip: Clip) -> None:
    """Logits are as large as CLIP's scale, of which bfloat16 keeps two digits."""
    classifier = Classifier.from_clip(clip, TASK)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features, logits = classifier.features(images(4)), classifier(images(4))
    assert (features.dtype, logits.dtype) == (torch.float32, torch.float32)
    assert not torch.equal(features, classifier.features(images(4)))
    assert torch.equal(logits, classifier.head(features))


def test_random_head_has_rows_as_long_as_the_text_heads(clip: Clip) -> None:
    head = random_head(clip, TASK, seed=3)
    torch.testing.assert_close(head.norm(dim=1), text_head(clip, TASK).norm(dim=1))
    assert torch.equal(head, random_head(clip, TASK, seed=3))
    assert not torch.equal(head, random_head(clip, TASK, seed=4))


def test_adapting_a_classifier_leaves_its_clip_alone(clip: Clip) -> None:
    before = {name: value.clone() for name, value in clip.model.state_dict().items()}
    with torch.no_grad():
        for parameter in Classifier.from_clip(clip, TASK).parameters():
            parameter.add_(1.0)
    after = clip.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_batch_statistics_are_frozen_in_training_mode(tmp_path: Path) -> None:
    clip = load_clip(write_tiny_clip(tmp_path, batch_norm=True))
    classifier = Classifier.from_clip(clip, colour_task())
    before = classifier.state()
    judged = classifier.eval()(images(4))
    trained = classifier.train()(images(4))
    after = classifier.state()
    assert any("running_mean" in name for name in before)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    torch.testing.assert_close(trained, judged)
    assert classifier.visual.training


def test_weights_hash_names_the_weights(folder: Path, clip: Clip, tmp_path: Path) -> None:
    assert load_clip(folder).weights_hash == clip.weights_hash
    other = load_clip(write_tiny_clip(tmp_path, seed=1))
    assert other.weights_hash != clip.weights_hash


@pytest.mark.parametrize("timm", [SIGLIP, {"timm_model_name": "test_resnet"}])
def test_a_timm_tower_embeds_and_trains(tmp_path: Path, timm: dict[str, Any]) -> None:
    adapted = adapt(tmp_path, TrainSpec(epochs=1, batch_size=N, lr=1e-3, warmup_steps=0), timm=timm)
    (epoch,) = adapted.history[1:]
    assert epoch.loss is not None
    before = world(tmp_path, timm=timm)[0].state()
    after = adapted.classifier.state()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert {name.partition(".")[0] for name in changed} == {"visual", "head"}
    clip = load_clip(tmp_path / "clip")
    assert clip.dim == timm.get("embed_dim", 16)
    assert ClipEmbedder(clip).images([square(0, 1)]).shape == (1, clip.dim)
    assert random_head(clip, colour_task(), seed=0).shape == text_head(clip, colour_task()).shape


@pytest.mark.parametrize("content", [None, b"half"])
def test_missing_and_damaged_weights_are_a_clear_error(
    tmp_path: Path, content: bytes | None
) -> None:
    weights = write_tiny_clip(tmp_path) / "open_clip_model.safetensors"
    weights.unlink() if content is None else weights.write_bytes(content)
    error = BenchError if content else RequestError
    with pytest.raises(error, match="does not load" if content else re.escape(weights.name)):
        load_clip(tmp_path)


def test_embeddings_do_not_depend_on_the_batch(clip: Clip) -> None:
    pictures = [square(index % 3, index) for index in range(5)]
    whole = ClipEmbedder(clip).images(iter(pictures))
    assert (whole.shape, whole.dtype) == ((5, clip.dim), np.dtype(np.float32))
    np.testing.assert_allclose(ClipEmbedder(clip, batch_size=2).images(pictures), whole, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)
    with torch.no_grad():
        direct = clip.model.encode_image(clip.preprocess_val(pictures[3])[None], normalize=True)
    np.testing.assert_allclose(whole[3], direct[0].numpy(), atol=1e-6)
    nothing = ClipEmbedder(clip).images([]), ClipEmbedder(clip).texts([])
    assert {embedded.shape for embedded in nothing} == {(0, clip.dim)}


def test_text_embeddings_point_along_the_text_head(clip: Clip) -> None:
    task = Task(
        name="one",
        version=1,
        class_names=("red",),
        templates=("a {} square",),
        domain_texts=("a square",),
    )
    head = torch.nn.functional.normalize(text_head(clip, task), dim=1)
    embedded = ClipEmbedder(clip).texts(task.prompts("red"))
    np.testing.assert_allclose(embedded, head.numpy(), atol=1e-6)
