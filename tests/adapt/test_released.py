"""Released weights become an image encoder's folder: whole, or a line that says why not."""

import argparse
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from adapt.models import load_model
from adapt.released import is_kept_from, keep_released
from bench.core.errors import RequestError
from bench.core.undamaged_weights import check_undamaged
from tests.support.command_line import files
from tests.support.tiny_clip import square

NETWORK = "test_vit"

Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    return timm.create_model(NETWORK, num_classes=10).eval()


@pytest.fixture
def weights(network: Any) -> Weights:
    return dict(network.state_dict())


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def kept(path: Path, content: object) -> str:
    """Keep a content as ``path/kept``, and return what was said of it."""
    return keep_released(NETWORK, saved(path / "released.pth", content), path / "kept")


def named(prefix: str, weights: Weights) -> Weights:
    return {prefix + name: value for name, value in weights.items()}


def without_head(weights: Weights) -> Weights:
    return {name: value for name, value in weights.items() if not name.startswith("head.")}


@pytest.mark.parametrize("prefix", ["module.visual.", "visual.", "", "module."])
@pytest.mark.parametrize("within", ["state_dict", "model", None])
def test_the_tower_is_the_released_one_wherever_its_weights_are(
    network: Any, weights: Weights, tmp_path: Path, prefix: str, within: str | None
) -> None:
    options = argparse.Namespace(lr=1e-3, betas=[0.9, 0.98])
    texts = {"module.logit_scale": torch.zeros(())} if "visual." in prefix else {}
    trained = {"norm.bias": torch.nn.Parameter(weights["norm.bias"])}  # As some are saved.
    inner = named(prefix, weights | trained) | texts
    content = {within: inner, "args": options, "epoch": 3} if within else inner
    assert kept(tmp_path, content) == ""
    model = load_model(tmp_path / "kept")
    images = torch.rand(2, 3, 160, 160)
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(images), pre_logits=True)
        assert torch.equal(model.model.encode_image(images), expected)
    assert {file.name for file in tmp_path.iterdir()} == {"released.pth", "kept"}


def test_images_are_resized_whole_and_normalised_by_imagenet_s_statistics(
    weights: Weights, tmp_path: Path
) -> None:
    kept(tmp_path, without_head(weights))
    image = square(0, 0).resize((320, 320))
    pixels = load_model(tmp_path / "kept").preprocess_val(image)
    assert pixels.shape == (3, 160, 160)
    corner = torch.tensor(image.getpixel((0, 0))) / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(pixels[:, 0, 0], (corner - mean) / deviation, atol=1e-5)


def of_trainer(student: Weights, teacher: Weights) -> Weights:
    both = named("student.backbone.", student) | named("teacher.backbone.", teacher)
    both["student.backbone.mask_token"] = torch.ones(1, 1, 64)
    return both | {"student.proj.0.weight": torch.zeros(3, 3)}


@pytest.mark.parametrize("wrapped", ["", "module."])
def test_of_a_trainer_s_two_networks_the_student_is_taken_and_named(
    weights: Weights, tmp_path: Path, wrapped: str
) -> None:
    student = without_head(weights)
    teacher = {name: value + 1 for name, value in student.items()}
    note = kept(tmp_path, {"model": named(wrapped, of_trainer(student, teacher))})
    assert note == "the student's of a training; its teacher's are left out"
    config = json.loads((tmp_path / "kept" / "config.json").read_text())
    assert config["pretrained_cfg"]["notes"] == [f"weights: {note}"]
    tower = load_model(tmp_path / "kept").model.visual.trunk
    assert torch.equal(tower.cls_token, student["cls_token"])


def test_of_a_teacher_alone_it_is_said_that_it_is_one(weights: Weights, tmp_path: Path) -> None:
    teacher = named("teacher.backbone.", without_head(weights))
    assert kept(tmp_path, {"model": teacher}) == "the teacher's of a training"


def refusal(path: Path, content: object) -> str:
    """Return why a content is not kept; nothing is left of the try."""
    with pytest.raises(RequestError) as error:
        kept(path, content)
    assert {file.name for file in path.iterdir()} == {"released.pth"}
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600
    return str(error.value)


def test_other_weights_are_refused_with_what_differs(weights: Weights, tmp_path: Path) -> None:
    other = without_head(weights)
    del other["norm.bias"]
    other["pos_embed"] = torch.zeros(1, 50, 64)
    other["extra\n\x1b[31m"] = torch.zeros(1)
    said = refusal(tmp_path, {"state_dict": other})
    assert "1 missing (norm.bias)" in said
    assert "1 unknown (extra [31m)" in said
    assert "1 of another shape (pos_embed [1, 50, 64] for [1, 101, 64])" in said
    assert "cls_token" not in said


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("norm.bias", torch.zeros(64, dtype=torch.int64)),
        ("norm.bias", torch.zeros(64).to_sparse()),
        ("norm.bias", torch.zeros(64, device="meta")),
        ("cls_token", torch.zeros(1, 1, 64, dtype=torch.complex64)),
    ],
)
def test_weights_of_another_kind_are_refused(
    weights: Weights, tmp_path: Path, name: str, value: Tensor
) -> None:
    assert f"1 no numbers ({name})" in refusal(tmp_path, without_head(weights) | {name: value})


def test_weights_that_are_no_finite_numbers_are_refused(weights: Weights, tmp_path: Path) -> None:
    broken = without_head(weights) | {"norm.bias": torch.full((64,), torch.nan)}
    assert "no finite numbers: norm.bias" in refusal(tmp_path, broken)


@pytest.mark.parametrize("content", [[], {"model": 3}, {"state_dict": {1: torch.ones(1)}}, "text"])
def test_a_file_without_a_tower_is_refused(tmp_path: Path, content: object) -> None:
    assert "no weights of a ViT" in refusal(tmp_path, content)


class Code:
    """Would run a command, were it unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_code_in_a_file_is_refused_and_not_executed(weights: Weights, tmp_path: Path) -> None:
    proof = tmp_path.parent / f"{tmp_path.name}-executed"
    said = refusal(tmp_path, {"state_dict": weights, "args": Code(f"touch {proof}")})
    assert "has more in it than weights and plain values, and is not loaded" in said
    assert not proof.exists()


def test_damaged_files_are_refused_in_a_line(weights: Weights, tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.pth", without_head(weights)).read_bytes()
    at = whole.index(b"cls_token")
    packed = tmp_path / "packed.pth"
    with (
        zipfile.ZipFile(tmp_path / "whole.pth") as parts,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as again,
    ):
        for part in parts.infolist():
            again.writestr(part.filename, parts.read(part))
    damaged = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "page": b"<!DOCTYPE html><html></html>",
        "changed": whole[: at + 9] + b"\xff" * 200 + whole[at + 209 :],
        "packed": packed.read_bytes(),
    }
    for name, content in damaged.items():
        file = tmp_path / f"{name}.pth"
        file.write_bytes(content)
        with pytest.raises(RequestError) as error:
            keep_released(NETWORK, file, tmp_path / "kept")
        assert f"{name}.pth" in str(error.value), name
        assert "\n" not in str(error.value)
        assert not (tmp_path / "kept").exists()


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(RequestError, match="it is no file"):
            keep_released(NETWORK, place, tmp_path / "kept")


def test_the_files_of_a_folder_are_the_same_whatever_else_the_released_file_has(
    weights: Weights, tmp_path: Path
) -> None:
    for place, content in (("one", weights), ("other", {"model": named("visual.", weights)})):
        (tmp_path / place).mkdir()
        kept(tmp_path / place, content)
    one, other = (
        {Path(name).name: content for name, content in files(tmp_path / place / "kept").items()}
        for place in ("one", "other")
    )
    assert {name for name in one if one[name] != other[name]} == {".source.json"}
    assert is_kept_from(tmp_path / "one" / "released.pth", tmp_path / "one" / "kept")
    assert not is_kept_from(tmp_path / "one" / "released.pth", tmp_path / "other" / "kept")


def test_a_changed_byte_of_what_was_kept_is_noticed(weights: Weights, tmp_path: Path) -> None:
    kept(tmp_path, weights)
    check_undamaged(tmp_path / "kept")
    file = tmp_path / "kept" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(RequestError, match="is damaged"):
        check_undamaged(tmp_path / "kept")
