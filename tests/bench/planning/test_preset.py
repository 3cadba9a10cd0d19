"""A preset and its changes become a spec, or one error before any work."""

from pathlib import Path

import pytest
import yaml

from bench.core.errors import RequestError
from bench.core.specs import RunSpec
from bench.planning.preset import resolve
from tests.support.source_options import options_of


def spec_of(preset: Path, *assignments: str) -> RunSpec:
    return resolve(str(preset), task="aircraft", source="real", n=8, settings=assignments)


def test_defaults_are_written_out(preset: Path) -> None:
    # YAML 1.1 reads 1e-5, without a dot, as text.
    spec = spec_of(preset, "train.lr=1e-5")
    assert spec == spec_of(preset, "train.lr=0.00001")
    assert spec.options["images"]["size"] == 32
    assert (spec.task, spec.train.weight_decay, spec.train.lr) == ("mini-aircraft", 0.1, 1e-5)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("trian.lr=1", "unknown setting 'trian'; did you mean train"),
        ("train.lrr=1", "unknown setting of train 'lrr'; did you mean lr"),
        ("train.lr=fast", r"train: .*lr"),
        ("train.lr=-1", "train: lr: expected `float` > 0"),
        ("train.lr=.nan", "train: lr: expected `float` > 0"),
        ("train.lr=.inf", "train: lr: expected `float` <= 1.79"),
        ("train.clip_norm=.inf", "train: clip_norm: expected `float` <= 1.79"),
        ("train.weight_decay=-1", "train: weight_decay: expected `float` >= 0"),
        ("train.weight_decay=.inf", "train: weight_decay: expected `float` <= 1.79"),
        ("train.betas=[2,3]", r"train: betas.*: expected `float` < 1"),
        ("train.betas=[0.9,.nan]", r"train: betas.*: expected `float`"),
        ("train.micro_batch=9", r"train\.micro_batch"),
        ("train.steps=1", r"train\.steps=1 .*train\.epochs"),
        ("train.steps=10 train.epochs=0", r"train\.steps=10"),
        ("train.warmup_fraction=2", "train: warmup_fraction: expected `float` <= 1"),
        ("train.epochs=-1", "train: epochs: expected `int` >= 0"),
        ("train.precision=fp8", r"train: .*precision"),
        ("train.precision=bf-16", r"did you mean bf16.*\? there are: fp32, bf16, fp16$"),
        ("train=5", "train: 5 is not a mapping"),
        ("source=5", "the source real: 5 is not a mapping"),
        ("source.size=3", "unknown setting of the source real 'size'"),
        ("evaluators=5", "evaluators: 5 is not a mapping"),
        ("evaluators.zeroshot={}", "unknown evaluator 'zeroshot'; did you mean zero-shot"),
        ("evaluators.linear-probe.rule=two-se", r"did you mean one-se\? there are: one-se, best$"),
        ("train.select_by=knn", "unknown evaluator to select by 'knn'"),
        ("order=sorted", r"the run: .*order"),
    ],
)
def test_a_wrong_setting_is_refused_before_any_work(preset: Path, setting: str, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        spec_of(preset, *setting.split())


def test_a_wrong_choice_is_refused_with_the_choices() -> None:
    near = r"'dpm'; did you mean dpm\+\+\? there are: ddim, dpm"
    for value, why in (("dpm", near), ("euler", r"'euler'; there are: ddim, dpm\+\+, pipeline$")):
        settings = [f"source.generation.scheduler={value}"]
        with pytest.raises(RequestError, match=f"scheduler: .*{why}"):
            resolve("mini", task="cars", source="synthetic", n=9, seed=0, settings=settings)


@pytest.mark.parametrize("seed", [-1, 2**31, 10**30])
def test_a_seed_out_of_range_is_refused(preset: Path, seed: int) -> None:
    with pytest.raises(RequestError, match="seed"):
        resolve(str(preset), task="aircraft", source="real", n=8, seed=seed)


@pytest.mark.parametrize("part", ["mixed", "denoised"])
def test_a_source_cannot_be_a_part_of_itself(tmp_path: Path, preset: Path, part: str) -> None:
    content = yaml.safe_load(preset.read_text().replace("folder: 0.5", f"{part}: 0.5"))
    content["sources"]["denoised"] = options_of(
        "denoised", of="mixed", generation__model="g", filter__model="c"
    )
    looped = tmp_path / "looped.yaml"
    looped.write_text(yaml.safe_dump(content))
    with pytest.raises(RequestError, match="part of itself"):
        resolve(str(looped), task="aircraft", source="mixed", n=8)


@pytest.mark.parametrize("source", ["mixed", "denoised"])
@pytest.mark.parametrize("setting", ["filter.tau=0.2", "matcher=word"])
def test_options_of_a_part_without_its_name_are_refused(source: str, setting: str) -> None:
    settings = [f"source.options.{setting}"]
    with pytest.raises(RequestError, match=r"is not a source; write source\.options\.SOURCE\."):
        resolve("mini", task="cars", source=source, n=9, seed=0, settings=settings)
