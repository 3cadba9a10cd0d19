"""`bench pca`: patches of a finished run in colours, and what it refuses."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.paths import Home
from tests.conftest import Bench
from tests.support.command_line import request
from tests.support.tiny_clip import write_tiny_clip


@pytest.fixture
def trained(bench: Bench, home: Home, preset: Path, colours: Path) -> str:
    """A run of two epochs of which one was chosen; its id."""
    words = request(preset, colours, "--n", "24", "--set", "train.lr=3e-3")
    outcome = bench(*words, "--set", "train.init=scratch", "--set", "train.head_init=random")
    assert outcome.code == 0, outcome.err
    assert outcome.json["selection"]["epoch"] > 0
    return str(outcome.json["run_id"])


def test_a_picture_has_the_images_above_their_patches(
    bench: Bench, home: Home, trained: str, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "patches.png"
    words = ("pca", trained[:6], "--class", "green", "--images", "3", "--out", str(out), "--json")
    told = bench(*words).json
    assert told["images"] == [f"val/green/{index}.png" for index in range(3)]
    assert (told["split"], told["grid"], told["size"]) == ("val", [4, 4], 32)
    assert 0 < sum(told["explained"]) <= 1
    picture = np.asarray(Image.open(out))
    assert picture.shape == (2 * 224 + 8, 3 * 224 + 16, 3)
    # Green squares above; below, blocks of one colour, of which one has a component's greatest.
    assert picture[:224, :224].mean(axis=(0, 1)).argmax() == 1
    patches = picture[232:, :224].reshape(4, 56, 4, 56, 3)
    assert (patches == patches[:, :1, :, :1]).all()
    assert picture[232:].max() == 255
    first = out.read_bytes()
    assert bench(*words).json == told
    assert out.read_bytes() == first


def test_larger_inputs_make_finer_grids_and_weights_are_the_chosen_ones(
    bench: Bench, home: Home, trained: str, tmp_path: Path
) -> None:
    words = ("pca", trained, "--class", "red", "--out", str(tmp_path / "a.png"))
    finer = bench(*words, "--size", "64")
    assert "8 by 8 patches" in finer.out
    told = bench(*words, "--json").json
    shutil.rmtree(home.run(trained) / "checkpoints")
    gone = bench(*words)
    assert gone.code == 2
    assert f"the weights of run {trained} were not kept" in gone.complaint
    assert "bench run" in gone.complaint
    assert "--fresh" in gone.complaint
    # Repeating the run, as it says, gives them back.
    import shlex

    again = shlex.split(gone.complaint.partition("repeat it: ")[2])
    assert bench(*again[1:]).code == 0
    assert bench(*words, "--json").json == told


def test_wrong_requests_are_refused_and_write_nothing(
    bench: Bench, home: Home, trained: str, tmp_path: Path
) -> None:
    out = tmp_path / "x.png"

    def refused(*words: str, run: str = trained, to: Path = out) -> str:
        given = {"--class": "red", **dict(zip(words[::2], words[1::2], strict=True))}
        options = [word for pair in given.items() for word in pair]
        outcome = bench("pca", run, *options, "--out", str(to))
        assert outcome.code == 2
        assert not to.exists()
        return outcome.complaint

    assert "did you mean green?" in refused("--class", "gren")
    assert "has 4 images in val, not 9; ask for --images 4" in refused("--images", "9")
    assert "whole patches of 8 x 8" in refused("--size", "33")
    # An image of that side takes 120 GB.
    assert "not in the range 1<=x<=4096" in refused("--size", "100000")
    assert "ends in .png" in refused(to=tmp_path / "x.jpg")
    assert "unknown run 'zzz'" in refused(run="zzz")
    assert "is not in the range" in refused("--images", "0")


def test_a_tower_without_patches_is_refused(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    folder = write_tiny_clip(tmp_path / "resnet", batch_norm=True)
    words = request(preset, colours, "--set", f"model={folder}", source="none")
    run_id = bench(*words).json["run_id"]
    outcome = bench("pca", run_id, "--class", "red", "--out", str(tmp_path / "x.png"))
    assert outcome.code == 2
    assert "has none" in outcome.complaint
    assert "vision transformer" in outcome.complaint


def test_an_unadapted_model_has_a_picture_until_its_weights_are_others(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    folder = write_tiny_clip(tmp_path / "model")
    run_id = bench(*request(preset, colours, "--set", f"model={folder}", source="none")).json[
        "run_id"
    ]
    words = ("pca", run_id, "--class", "blue", "--out", str(tmp_path / "x.png"), "--json")
    assert bench(*words).json["epoch"] == 0
    from bench.steps import loaded

    loaded.clip_of.cache_clear()
    write_tiny_clip(folder, seed=1)
    assert "others than those that run" in bench(*words).complaint
    loaded.clip_of.cache_clear()
