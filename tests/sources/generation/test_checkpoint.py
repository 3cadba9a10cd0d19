"""Which generators are taken: whole ones that can do what is asked, known before any work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.core.errors import RequestError
from bench.core.files import fingerprint
from bench.core.json_values import Json
from bench.plugins import source_of
from tests.support.tiny_generation import World
from tests.support.tiny_pipelines import change_weights, write_pipeline


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"n": None}, "--n all means nothing"),
        ({"height": 36}, "36 pixels high; give a height that 8 divides"),
        (
            {"rule": "top-fraction", "cap": 2, "n": 7},
            "7 images are asked for, and source.filter.cap=2 leaves 6",
        ),
    ],
)
def test_what_cannot_be_met_is_refused_at_once(world: World, asked: Json, complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        world.collect(**asked)
    assert not world.home.root.exists()


def halved(part: str) -> Callable[[Path], None]:
    return lambda folder: change_weights(
        folder / part, lambda weights: dict(sorted(weights.items())[::2])
    )


def cut(folder: Path) -> None:
    path = next((folder / "text_encoder").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:1000])


def misshapen(folder: Path) -> None:
    change_weights(
        folder / "text_encoder", lambda old: {name: w[..., :7] for name, w in old.items()}
    )


def pickled(folder: Path) -> None:
    import torch

    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder: (folder / "model_index.json").unlink(), "model_index"),
        (cut, ""),
        (halved("text_encoder"), "weights of text_encoder are missing"),
        (halved("unet"), "meta"),
        (halved("vae"), "meta"),
        (misshapen, ""),
        (pickled, "safetensors"),
    ],
)
def test_a_folder_without_whole_weights_is_a_wrong_request(
    world: World, tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    folder = write_pipeline("sd", tmp_path / "bad")
    spoil(folder)
    with pytest.raises(RequestError, match=f"generator .*bad does not load: .*{why}"):
        world.collect(generator=str(folder))
    assert not list(world.home.data.glob("drafts-*"))


def test_half_a_safety_checker_is_a_wrong_request(world: World, tmp_path: Path) -> None:
    folder = write_pipeline("checked", tmp_path / "half")
    halved("safety_checker")(folder)
    with pytest.raises(RequestError, match="weights of safety_checker are missing"):
        world.collect(generator=str(folder), safety="drop")
    assert len(world.collect(generator=str(folder)))


def test_existing_images_need_no_weights(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import sources.generation.generate

    first = world.collect()
    monkeypatch.delattr(sources.generation.generate, "DiffusionSampler")
    assert world.collect().manifest == first.manifest


def refused(world: World, complaint: str, **options: Any) -> None:
    source = source_of("synthetic", world.settings(**options))
    with pytest.raises(RequestError, match=complaint):
        source.fingerprints(world.home)
    assert not world.home.root.exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"steps": 1001}, "takes 1000 steps at most; 1001 are asked for"),
        ({"height": 33}, "33 pixels high; give a height that 8 divides"),
        ({"safety": "drop"}, "safety=drop needs a safety checker"),
        ({"generator": "xl"}, "add --set source.generation.pipeline=auto"),
        ({"generator": "lcm"}, "add --set source.generation.pipeline=auto"),
        ({"generator": "lcm", "pipeline": "auto", "steps": 51},
         "takes 50 steps at most; 51 are asked for"),
        *(({"generator": name}, "@REVISION") for name in
          ("lab/tiny@main", "lab/tiny@HEAD", "a/b--c@v1")),
    ],
)  # fmt: skip
def test_what_a_generator_cannot_do_is_known(world: World, options: Json, complaint: str) -> None:
    refused(world, complaint, **options)


INDEX, SCHEDULER = "model_index.json", "scheduler/scheduler_config.json"
MALFORMED = (b"[" * 40_000, b'{"vae":' * 10_000, b"[]", b"\xff")


@pytest.mark.parametrize(
    ("file", "content", "options", "complaint"),
    [
        ("vae/config.json", {"block_out_channels": [8] * 6}, {"height": 48}, "that 32 divides"),
        (SCHEDULER, {"num_train_timesteps": 0}, {}, "takes 0 steps at most"),
        (SCHEDULER, {"num_train_timesteps": "many"}, {}, "takes 'many' steps at most"),
        (INDEX, {"_class_name": "NoSuch"}, {}, "not Stable Diffusion 1 or 2, but 'NoSuch'"),
        *((INDEX, content, {}, "generator .* does not load: no readable model_index")
          for content in MALFORMED),
    ],
)  # fmt: skip
def test_what_a_folder_says_of_its_generator_is_checked_before_any_work(
    world: World, tmp_path: Path, file: str, content: Json | bytes, options: Json, complaint: str
) -> None:
    path = write_pipeline("sd", tmp_path / "sd") / file
    if isinstance(content, dict):
        content = msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | content)
    path.write_bytes(content)
    refused(world, complaint, generator=str(tmp_path / "sd"), **options)


def measured(steps: int, scheduler: str = "ddim") -> bytes:
    settings = {"scheduler": scheduler, "steps": steps, "guidance": 2.5, "chance": 0.1}
    return msgspec.json.encode({"settings": settings, "domains": {"aircraft": {}}})


@pytest.mark.parametrize(
    ("content", "oracle", "attached"),
    [
        (measured(2), True, True),
        (measured(3), True, False),
        (measured(2, "dpm++"), True, False),
        (measured(2), False, False),
        (b'{"settings": 1}', True, False),
        (b"[" * 40_000, True, False),
    ],
)
def test_a_fidelity_is_told_where_it_was_measured_for_such_images(
    world: World, tmp_path: Path, content: bytes, oracle: bool, attached: bool
) -> None:
    folder = write_pipeline("sd", tmp_path / "stable-diffusion")
    (tmp_path / "fidelity.json").write_bytes(content)
    if oracle:
        (tmp_path / "oracle.safetensors").touch()
    told = world.collect(generator=str(folder)).manifest.stage_counts["fidelity"]
    assert told == (msgspec.json.decode(content) if attached else {})


def test_a_hub_id_is_pinned(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    revision = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    refused(world, "pin it: lab/tiny@REVISION", generator="lab/tiny")
    pinned = f"lab/tiny@{revision}"
    refused(world, f"bench fetch --model {pinned}", generator=pinned)
    folder = write_pipeline("sd", tmp_path / "models--lab--tiny" / "snapshots" / revision)
    synthetic = source_of("synthetic", world.settings(generator=pinned))
    assert synthetic.fingerprints(world.home)["generator"] == fingerprint(folder)
