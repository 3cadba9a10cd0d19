"""`bench fetch --model NAME --from FILE` keeps a released file; `--source none` then judges it."""

import subprocess
from pathlib import Path

import pytest
import timm
import torch

from bench.core.paths import Home
from tests.conftest import Bench, command, environment
from tests.support.command_line import files, request, until

NAME = "synclr-vit-b16"


def test_where_the_file_is_to_be_had_is_said_by_whatever_needs_it(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    remedy = (
        "get its file from the authors' page, github.com/google-research/syn-rep-learn, then "
        f"`bench fetch --model {NAME} --from FILE.pth` keeps it"
    )
    refused = bench("fetch", "--model", NAME)
    assert refused.code == 2
    assert refused.complaint.endswith(f"no command downloads the weights of {NAME}; {remedy}")
    refused = bench(*request(preset, colours, "--set", f"model={NAME}", source="none"))
    assert refused.code == 2
    assert refused.complaint.endswith(remedy)


def test_a_file_is_one_of_a_released_model_and_of_nothing_else(
    bench: Bench, tmp_path: Path, home: Home
) -> None:
    file = tmp_path / "released.pth"
    torch.save({"state_dict": {"cls_token": torch.zeros(1, 1, 64)}}, file)
    for words, said in (
        (("--model", "lab/tiny@main"), "unknown model for --from"),
        ((), "--from is the file of one model"),
        (("--model", NAME, "--task", "dtd"), "--from is the file of one model"),
        (("--model", NAME), "149 missing"),
    ):
        refused = bench("fetch", *words, "--from", str(file))
        assert refused.code == 2, words
        assert said in refused.complaint
    missing = bench("fetch", "--model", NAME, "--from", str(tmp_path / "missing.pth"))
    assert missing.code == 2
    assert "No such file or directory" in missing.complaint
    assert not home.weights_folder(NAME).exists()


def write_released(file: Path, value: float) -> Path:
    """Write a ViT-B/16 whose weights are all one number, each kept once in a small file."""
    with torch.device("meta"):
        network = timm.create_model("vit_base_patch16_224", num_classes=1000)
    state = {
        f"module.visual.{name}": torch.tensor(value).expand(weight.shape)
        for name, weight in network.state_dict().items()
    }
    torch.save({"state_dict": state}, file)
    return file


@pytest.mark.slow(minutes=1)
def test_a_released_vit_is_kept_whole_however_often_and_judged_as_the_unadapted_model(
    bench: Bench, preset: Path, colours: Path, home: Home, tmp_path: Path
) -> None:
    file = write_released(tmp_path / "released.pth", 0.01)
    words = ("fetch", "--model", NAME, "--from", str(file))
    folder = home.weights_folder(NAME)
    with subprocess.Popen(command(*words), env=environment(home.root)) as process:
        until(lambda: list(folder.parent.glob(f".{NAME}-*/*.safetensors")))
        process.kill()
    assert process.returncode != 0
    assert not folder.exists()

    for _ in range(2):
        done = bench(*words)
        assert (done.code, done.out) == (0, f"model {NAME} is in {folder}\n"), done.err
    assert {one.name for one in folder.parent.iterdir()} == {NAME}
    assert bench("fetch", "--model", NAME).code == 0
    before = files(folder)
    other = write_released(tmp_path / "other.pth", 0.02)
    refused = bench("fetch", "--model", NAME, "--from", str(other))
    assert refused.code == 2
    assert "was made of another file than" in refused.complaint
    assert files(folder) == before

    judged = ("train.head_init=random", "evaluators.zero-shot=null", "train.select_by=linear-probe")
    probe = ("evaluators.linear-probe.features=penultimate", "evaluators.linear-probe.rule=best")
    chosen = (f"model={NAME}", *judged, *probe)
    done = bench(*request(preset, colours, *(f"--set={one}" for one in chosen), source="none"))
    assert done.code == 0, done.err
    assert {score["evaluator"] for score in done.json["scores"]} == {"linear-probe"}
