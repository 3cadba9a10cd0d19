"""Which generators are taken: whole ones that can do what is asked, known before any work."""

from pathlib import Path

import msgspec
import pytest

from bench.core.errors import RequestError
from bench.core.files import fingerprint
from bench.core.json_values import Json
from bench.plugins import source_of
from tests.support.tiny_generation import World
from tests.support.tiny_pipelines import change_weights, miniature, write_pipeline


def test_a_generator_has_no_end(world: World) -> None:
    with pytest.raises(RequestError, match="--n all means nothing"):
        world.collect(n=None)


def test_a_folder_that_holds_no_pipeline_is_a_wrong_request(world: World, tiny_clip: Path) -> None:
    with pytest.raises(RequestError, match=r"generator .*tiny-clip does not load: .*model_index"):
        world.collect(generator=str(tiny_clip))


def test_weights_that_are_cut_short_are_a_wrong_request(world: World, tmp_path: Path) -> None:
    path = next((miniature(tmp_path / "cut") / "text_encoder").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RequestError, match=r"generator .*cut does not load: "):
        world.collect(generator=str(tmp_path / "cut"))


@pytest.mark.parametrize(
    ("part", "why"),
    [("text_encoder", "weights of text_encoder are missing"), ("unet", "meta"), ("vae", "meta")],
)
def test_missing_weights_are_a_wrong_request_before_any_caption(
    world: World, tmp_path: Path, part: str, why: str
) -> None:
    folder = write_pipeline("sd", tmp_path / "half")
    change_weights(folder / part, lambda weights: dict(sorted(weights.items())[::2]))
    with pytest.raises(RequestError, match=f"generator .*half does not load: .*{why}"):
        world.collect(generator=str(folder))
    assert not list(world.home.data.glob("drafts-*"))


def test_weights_of_another_shape_are_a_wrong_request(world: World, tmp_path: Path) -> None:
    folder = write_pipeline("sd", tmp_path / "odd")
    change_weights(
        folder / "text_encoder", lambda weights: {name: w[..., :7] for name, w in weights.items()}
    )
    with pytest.raises(RequestError, match=r"generator .*odd does not load: "):
        world.collect(generator=str(folder))


def test_half_a_safety_checker_is_a_wrong_request(world: World, tmp_path: Path) -> None:
    folder = write_pipeline("checked", tmp_path / "half")
    change_weights(folder / "safety_checker", lambda weights: dict(list(weights.items())[::2]))
    with pytest.raises(RequestError, match="weights of safety_checker are missing"):
        world.collect(generator=str(folder), safety="drop")
    assert len(world.collect(generator=str(folder)))


def test_weights_are_not_loaded_for_images_that_are_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sources.generation.generate

    first = world.collect()
    monkeypatch.delattr(sources.generation.generate, "DiffusionSampler")
    assert world.collect().manifest == first.manifest


@pytest.mark.parametrize(
    ("part", "changes", "options", "complaint"),
    [
        ("", {}, {"steps": 1001}, "takes 1000 steps at most; 1001 are asked for"),
        ("", {}, {"height": 33}, "33 pixels high; give a height that 8 divides"),
        ("vae", {"block_out_channels": [8] * 6}, {"height": 48}, "a height that 32 divides"),
        ("scheduler", {"num_train_timesteps": 0}, {}, "takes 0 steps at most"),
        ("scheduler", {"num_train_timesteps": "many"}, {}, "takes 'many' steps at most"),
        ("", {"_class_name": "NoSuch"}, {}, "not Stable Diffusion 1 or 2, but 'NoSuch'"),
    ],
)
def test_what_a_generator_cannot_do_is_known_before_any_work(
    world: World, tmp_path: Path, part: str, changes: Json, options: Json, complaint: str
) -> None:
    folder = write_pipeline("sd", tmp_path / "sd")
    path = next(iter(sorted((folder / part).glob("*.json"))))
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | changes))
    source = source_of("synthetic", world.settings(generator=str(folder), **options))
    with pytest.raises(RequestError, match=complaint):
        source.fingerprints(world.home)


@pytest.mark.parametrize("family", ["xl", "lcm"])
def test_another_family_is_generated_with_its_own_pipeline(world: World, family: str) -> None:
    source = source_of("synthetic", world.settings(generator=family))
    with pytest.raises(RequestError, match=r"add --set source.generation.pipeline=auto"):
        source.fingerprints(world.home)


def test_a_consistency_model_takes_few_steps(world: World) -> None:
    source = source_of("synthetic", world.settings(generator="lcm", pipeline="auto", steps=51))
    with pytest.raises(RequestError, match="takes 50 steps at most; 51 are asked for"):
        source.fingerprints(world.home)


@pytest.mark.parametrize("content", [b"[" * 40_000, b'{"vae":' * 10_000, b"[]", b"\xff"])
def test_a_malformed_index_is_a_wrong_request(world: World, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model_index.json").write_bytes(content)
    with pytest.raises(RequestError, match=r"generator .* does not load: no readable model_index"):
        source_of("synthetic", world.settings(generator=str(tmp_path))).fingerprints(world.home)


def test_a_cap_that_leaves_too_few_is_refused_before_any_work(world: World) -> None:
    with pytest.raises(
        RequestError, match=r"7 images are asked for, and source.filter.cap=2 leaves 6"
    ):
        world.collect(rule="top-fraction", cap=2, n=7)
    assert not world.home.root.exists()


def test_pickled_weights_are_not_loaded(world: World, tmp_path: Path) -> None:
    import torch

    unet = write_pipeline("sd", tmp_path / "pickled") / "unet"
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, unet / "diffusion_pytorch_model.bin")
    with pytest.raises(RequestError, match=r"generator .*pickled does not load: .*safetensors"):
        world.collect(generator=str(tmp_path / "pickled"))


def test_a_height_that_the_generator_cannot_generate_is_named(world: World) -> None:
    with pytest.raises(RequestError, match="36 pixels high; give a height that 8 divides"):
        world.collect(height=36)


def test_a_missing_safety_checker_is_known_before_any_work(world: World) -> None:
    source = source_of("synthetic", world.settings(safety="drop"))
    with pytest.raises(RequestError, match="safety=drop needs a safety checker"):
        source.fingerprints(world.home)
    assert not world.home.root.exists()


@pytest.mark.parametrize("name", ["lab/tiny@main", "lab/tiny@HEAD", "a/b--c@v1"])
def test_a_hub_id_that_pins_nothing_is_refused(world: World, name: str) -> None:
    synthetic = source_of("synthetic", world.settings(generator=name))
    with pytest.raises(RequestError, match=r"@REVISION"):
        synthetic.fingerprints(world.home)


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


def test_a_hub_id_is_pinned_and_found_in_the_cache(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    revision = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    synthetic = source_of("synthetic", world.settings(generator="lab/tiny"))
    with pytest.raises(RequestError, match="pin it: lab/tiny@REVISION"):
        synthetic.fingerprints(world.home)
    pinned = f"lab/tiny@{revision}"
    synthetic = source_of("synthetic", world.settings(generator=pinned))
    with pytest.raises(RequestError, match=f"bench fetch --model {pinned}"):
        synthetic.fingerprints(world.home)
    folder = write_pipeline("sd", tmp_path / "models--lab--tiny" / "snapshots" / revision)
    assert synthetic.fingerprints(world.home)["generator"] == fingerprint(folder)
