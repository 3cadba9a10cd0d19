"""Runs with objectives that have options: what is trained, what is shown, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.core.paths import Home
from tests.conftest import Bench, Outcome
from tests.support import tempered  # noqa: F401 (registers an objective)
from tests.support.command_line import request, write_study

Run = Callable[..., Outcome]

TEMPERED = ("--objective", "tempered")
PROBED = ["--set", "evaluators.linear-probe={}", "--set", "evaluators.zero-shot=null"]
SELECTED = ("--set", "train.select_by=linear-probe")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            "",
            "does not train the classifier's head, which zero-shot would judge; add --set "
            "evaluators.zero-shot=null --set evaluators.linear-probe={} --set "
            "train.select_by=linear-probe",
        ),
        (
            "--set evaluators.knn={} --set evaluators.per-class={} --set "
            "evaluators.finetuned-head={} --set evaluators.zero-shot-text={}",
            "which zero-shot and per-class and finetuned-head would judge; add --set "
            "evaluators.zero-shot=null --set evaluators.per-class=null --set "
            "evaluators.finetuned-head=null --set train.select_by=knn",
        ),
        ("--set objective.temperature=hot", "temperature"),
        ("--set objective.heat=1", "unknown setting of the objective tempered 'heat'"),
    ],
)
def test_what_an_objective_does_not_support_is_refused_before_any_work(
    run: Run, home: Home, words: str, why: str
) -> None:
    refused = run(*TEMPERED, *words.split())
    assert (refused.code, refused.out) == (2, "")
    assert why in refused.complaint
    assert not home.root.exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--n 7 --objective simclr", "train.batch_size=8 is more than the 7 images of a pass"),
        (
            "--n 20 --objective simclr --set train.micro_batch=4",
            "batch norm needs whole batches; leave it out, or add --set objective.norm=ln",
        ),
        (
            "--n 20 --objective supcon --set train.gpus_per_node=3 --dry-run",
            "train.batch_size=8 is no multiple of 3: 3 processes take equal shares; set "
            "train.batch_size to a multiple of 3, such as 6 or 9",
        ),
        (
            "--n 20 --objective stablerep --source retrieved",
            "train.batch_size=8 is no multiple of 6: 6 images of a group stay together",
        ),
        (
            "--n 20 --objective simclr --set objective.area=[0.5,0.1]",
            "objective.area=[0.5, 0.1] ends before it begins; write objective.area=[0.1, 0.5]",
        ),
        (
            "--n 20 --objective simclr --set train.batch_size=1",
            "train.batch_size=1 is one image, and this objective compares a batch's groups; set "
            "train.batch_size=2 or more",
        ),
        (
            "--n 20 --objective synclr --set objective.ema=false",
            "objective.ibot=true needs a teacher, and objective.ema=false leaves it out; set "
            "objective.ibot=false, or objective.ema=true",
        ),
        (
            "--n 20 --objective simclr --set train.freeze_tower=true",
            "train.freeze_tower=true leaves nothing that the objective simclr trains",
        ),
        (
            "--n 20 --objective supcon --set train.adjacent=pair",
            "this objective does not compare images of captions; leave it out, or take "
            "--objective stablerep",
        ),
    ],
)
def test_batches_that_cannot_be_are_refused_before_any_work(
    run: Run, home: Home, words: str, why: str
) -> None:
    refused = run(*words.split(), *PROBED, *SELECTED)
    assert (refused.code, refused.out) == (2, "")
    assert why in refused.complaint
    assert not home.root.exists()


def test_processes_that_run_count_before_any_work(
    run: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    refused = run("--n", "20", "--objective", "simclr", *PROBED, *SELECTED)
    assert refused.code == 2
    assert "3 processes take equal shares" in refused.complaint
    assert not home.root.exists()


@pytest.mark.parametrize("source", ["real", "folder", "rendered"])
def test_captions_are_asked_for_before_any_work(
    bench: Bench, colours: Path, home: Home, source: str
) -> None:
    words = ["--preset", "mini", "--task", "flowers", "--n", "64", "--source", source]
    more = ["--set", f"source.path={colours}"] if source == "folder" else []
    refused = bench("run", *words, *more, "--objective", "clip")
    assert refused.code == 2
    assert f"the images of source {source} have no captions" in refused.complaint
    assert ("add --set source.captions=true" in refused.complaint) == (source == "rendered")
    assert not home.root.exists()


@pytest.mark.parametrize("captions", [True, False])
def test_renders_with_captions_are_enough_for_an_objective_of_captions(
    bench: Bench, *, captions: bool
) -> None:
    words = ["--preset", "mini", "--task", "flowers", "--source", "rendered", "--n", "64"]
    words += ["--objective", "stablerep", "--set", "objective.per_group=4"]
    words += ["--set", "evaluators.zero-shot=null", "--set", f"source.captions={captions}"]
    assert bench("run", *words, "--dry-run").code == (0 if captions else 2)


@pytest.mark.parametrize("source", ["retrieved", "synthetic"])
def test_pairs_are_asked_for_before_any_work(bench: Bench, home: Home, source: str) -> None:
    words = ["--preset", "mini", "--task", "flowers", "--n", "64", "--source", source]
    refused = bench("run", *words, "--objective", "clip", "--set", "train.adjacent=pair")
    assert refused.code == 2
    assert f"captions of source {source} come in no pairs" in refused.complaint
    assert refused.complaint.endswith("captions.writer=minimal-pairs, or leave it out")
    assert not home.root.exists()


def test_the_remedy_helps_and_options_change_the_training(run: Run) -> None:
    scores = {}
    for temperature in ("0.1", "5"):
        option = ("--set", f"objective.temperature={temperature}")
        record = run(*TEMPERED, *PROBED, *SELECTED, *option).json
        assert record["spec"]["objective_options"]["temperature"] == float(temperature)
        scores[temperature] = [epoch["loss"] for epoch in record["selection"]["history"]]
    assert scores["0.1"] != scores["5"]


@pytest.mark.parametrize(("objective", "positives"), [("ce", ""), ("supcon", "class")])
def test_a_record_says_what_positives_share(run: Run, objective: str, positives: str) -> None:
    small = ["--set", "objective.hidden=8"] if objective == "supcon" else []
    record = run("--objective", objective, *PROBED, *SELECTED, *small).json
    assert record["positives"] == positives
    assert record["n"]["captions"] is None  # The images of this folder have none.


def test_the_unadapted_model_may_be_judged_by_its_head(run: Run) -> None:
    assert run("--source", "none", *TEMPERED).code == 0


def test_images_that_an_objective_leaves_out_are_said_whenever_a_run_is_shown(
    bench: Bench, preset: Path, colours: Path
) -> None:
    words = [*request(preset, colours, *TEMPERED, *PROBED, *SELECTED, "--n", "7")]
    words += ["--set", "objective.per_group=4", "--set", "train.batch_size=4"]
    first = bench(*words)
    record = first.json
    left_out = record["stage_counts"]["too_small_groups"]
    assert 0 < left_out["images"] == 7 - record["n"]["used"]
    # A class whose images are all left out is one without images.
    assert len(record["empty_classes"]) >= left_out["groups"]
    shown = bench(*(word for word in words if word != "--json")).out
    some = f"{left_out['images']} images in {left_out['groups']} groups"
    assert f"  left out: {some} that are too small for tempered" in shown.splitlines()
    assert f"({', '.join(record['empty_classes'])})" in shown


def test_texts_need_a_text_tower(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, home: Home
) -> None:
    from tests.support.image_encoders import write_encoder

    encoder = write_encoder(tmp_path / "encoder")
    more = ["--set", f"model={encoder}", "--set", "train.head_init=random", *PROBED, *SELECTED]
    more += [*TEMPERED, "--set", "objective.texts=true"]
    refused = bench(*request(preset, colours, *more, source="retrieved"))
    assert refused.code == 2
    assert "has no text tower, which the objective tempered needs" in refused.complaint
    assert not home.root.exists()


def test_masks_need_patches(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, home: Home
) -> None:
    from tests.support.tiny_clip import write_tiny_clip

    resnet = write_tiny_clip(tmp_path / "resnet", batch_norm=True)
    words = [*TEMPERED, *PROBED, *SELECTED, "--set", "objective.masks=true"]
    refused = bench(*request(preset, colours, *words, "--set", f"model={resnet}"))
    assert refused.code == 2
    assert "take a model with a vision transformer" in refused.complaint
    assert not home.root.exists()
    assert bench(*request(preset, colours, *words)).code == 0


def test_drop_path_needs_residual_blocks(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, home: Home
) -> None:
    from tests.support.tiny_clip import write_tiny_clip

    resnet = write_tiny_clip(tmp_path / "resnet", batch_norm=True)
    words = ["--set", "train.drop_path=0.2"]
    refused = bench(*request(preset, colours, *words, "--set", f"model={resnet}"))
    assert refused.code == 2
    assert "(ModifiedResNet) has no residual blocks that drop paths; leave" in refused.complaint
    assert not home.root.exists()
    assert "drop_path" in bench(*request(preset, colours, "--set", "train.drop_path=1")).complaint
    assert bench(*request(preset, colours, *words)).json["spec"]["train"]["drop_path"] == 0.2


@pytest.mark.parametrize("more", [[], ["--set", "objective.ibot=false"]], ids=["masks", "crops"])
def test_synclr_needs_patches_for_masks_and_for_crops(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, home: Home, more: list[str]
) -> None:
    from tests.support.tiny_clip import write_tiny_clip

    resnet = write_tiny_clip(tmp_path / "resnet", batch_norm=True)
    words = ["--objective", "synclr", *PROBED, *SELECTED, *more, "--set", f"model={resnet}"]
    refused = bench(*request(preset, colours, *words, source="retrieved"))
    assert (refused.code, refused.out) == (2, "")
    assert "patches are needed, and the model's image tower (ModifiedResNet)" in refused.complaint
    assert not home.root.exists()


def test_synclr_masks_no_patches_of_a_tower_that_leaves_out_some(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, home: Home
) -> None:
    from tests.support.tiny_clip import write_tiny_clip

    dropping = write_tiny_clip(tmp_path / "dropping", patch_dropout=0.5)
    words = ["--objective", "synclr", *PROBED, *SELECTED, "--set", f"model={dropping}"]
    refused = bench(*request(preset, colours, *words, source="retrieved"))
    assert (refused.code, refused.out) == (2, "")
    assert "leaves out some in training" in refused.complaint
    assert not home.root.exists()


def test_a_study_whose_runs_differ_in_options_alone_refuses_the_one_that_is_wrong(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    """What one run needs does not stand for another's."""
    axes = {"task": str(colours), "source": "real", "n": 8, "objective": ["ce", "tempered"]}
    refused = bench("sweep", str(write_study(tmp_path, preset, axes)), "--dry-run")
    assert refused.code == 2
    assert "the objective tempered does not train" in refused.complaint


def test_show_says_what_may_be_set(bench: Bench) -> None:
    assert "no options" in bench("show", "ce").out.splitlines()
    assert "\n  temperature = 0.1  (" in bench("show", "tempered").out
