"""Image encoders of timm: adapted with a random head; what needs texts is refused."""

import shutil
from pathlib import Path

import pytest
import timm
import torch

from adapt.models import load_model
from bench.core.paths import Home
from tests.conftest import Bench
from tests.support.command_line import request
from tests.support.hub import serving
from tests.support.image_encoders import write_encoder
from tests.support.tiny_clip import square


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoders") / "dino")


def test_an_encoder_is_the_published_one_with_its_own_preprocessing(encoder: Path) -> None:
    model = load_model(encoder)
    published = timm.create_model(f"local-dir:{encoder}", pretrained=True, num_classes=0).eval()
    image = model.preprocess_val(square(0, 0))[None]
    with torch.no_grad():
        assert torch.equal(model.model.encode_image(image), published(image))
    assert image.shape == (1, 3, 160, 160)
    assert model.dim == published.num_features


NO_TEXTS = ("--set", "train.head_init=random", "--set", "evaluators.zero-shot=null")


def test_a_run_needs_no_texts_or_is_refused(
    bench: Bench, preset: Path, colours: Path, encoder: Path
) -> None:
    words = request(preset, colours, "--set", f"model={encoder}")
    refused = bench(*words)
    assert refused.code == 2
    assert "has no text tower, which evaluators.zero-shot and train.head_init" in refused.complaint
    assert refused.complaint.endswith(
        "add --set evaluators.zero-shot=null --set train.head_init=random"
    )
    probes = ("--set", "evaluators.linear-probe={}", "--set", "evaluators.knn={}")
    chosen = ("--set", "train.select_by=linear-probe")
    done = bench(*words, *NO_TEXTS, *probes, *chosen)
    assert done.code == 0, done.err
    scored = {score["evaluator"] for score in done.json["scores"]}
    assert scored == {"linear-probe", "knn"}


def test_an_encoder_cannot_filter(bench: Bench, preset: Path, colours: Path, encoder: Path) -> None:
    words = request(preset, colours, "--set", f"source.filter.model={encoder}", source="retrieved")
    refused = bench(*words)
    assert refused.code == 2
    assert "image encoder without a text tower" in refused.complaint


def test_files_of_two_commits_are_never_put_together(
    bench_process: Bench, home: Home, encoder: Path, tmp_path: Path
) -> None:
    name, published = "timm:test_vit", tmp_path / "published"
    shutil.copytree(encoder, published)
    with serving({"models/timm/test_vit": published}) as hub:
        hub.changed = {"model.safetensors"}
        assert bench_process("fetch", "--model", name, **hub.environment).code == 1
        (published / "config.json").write_text("{}")
        hub.changed, hub.commit = set(), "f" * 40
        done = bench_process("fetch", "--model", name, **hub.environment)
    assert done.code == 0, done.err
    assert (home.find_weights(name) / "config.json").read_text() == "{}"


def test_an_encoder_is_fetched_by_its_name_in_timm(
    bench_process: Bench, home: Home, encoder: Path
) -> None:
    name = "timm:vit_small_patch14_dinov2.lvd142m"
    with serving({f"models/{name.replace(':', '/')}": encoder}) as hub:
        done = bench_process("fetch", "--model", name, **hub.environment)
    assert done.code == 0, done.err
    assert home.find_weights(name) == home.weights / "timm" / name.removeprefix("timm:")
