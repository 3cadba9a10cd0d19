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
        ("train.lr=.nan", "is not a finite number"),
        ("train.lr=.inf", "is not a finite number"),
        ("train.clip_norm=.inf", "is not a finite number"),
        ("train.weight_decay=-1", "train: weight_decay: expected `float` >= 0"),
        ("train.weight_decay=.inf", "is not a finite number"),
        ("train.betas=[2,3]", r"train: betas.*: expected `float` < 1"),
        ("train.betas=[0.9,.nan]", "is not a finite number"),
        ("train.micro_batch=9", r"train\.micro_batch"),
        ("train.steps=1", r"train\.steps=1 .*train\.epochs"),
        ("train.steps=10 train.epochs=0", r"train\.steps=10"),
        ("train.warmup_fraction=2", "train: warmup_fraction: expected `float` <= 1"),
        ("train.epochs=-1", "train: epochs: expected `int` >= 0"),
        ("train.precision=fp8", r"train: .*precision"),
        ("train.precision=bf-16", r"did you mean bf16.*\? there are: fp32, tf32, bf16, fp16$"),
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


@pytest.mark.parametrize(
    ("nested", "named"),
    [
        ("train={lr: 1e-4}", "train.lr=1e-4"),
        ("source={images: {size: 16}}", "source.images.size=16"),
        ("source.images={size: 16}", "source.images.size=16"),
        ("evaluators={linear-probe: {rule: best}}", "evaluators.linear-probe.rule=best"),
    ],
)
def test_a_nested_setting_keeps_the_rest_of_the_preset(
    preset: Path, nested: str, named: str
) -> None:
    assert spec_of(preset, nested) == spec_of(preset, named)


def test_of_a_mapping_and_a_name_in_it_the_later_counts(preset: Path) -> None:
    assert spec_of(preset, "train={lr: 1, epochs: 7}", "train.lr=2").train.lr == 2
    assert spec_of(preset, "train.lr=2", "train={lr: 1, epochs: 7}").train.lr == 1


def test_an_evaluator_set_to_null_is_left_out(preset: Path) -> None:
    given = ("evaluators.knn={}", "train.select_by=knn", "evaluators.zero-shot=null")
    assert list(spec_of(preset, *given).evaluators) == ["knn"]
    with pytest.raises(RequestError, match="unknown evaluator to select by 'zero-shot'"):
        spec_of(preset, "evaluators.knn={}", "evaluators.zero-shot=null")


def test_another_rule_never_keeps_the_fields_of_the_preset_s() -> None:
    settings = ["source.filter={rule: top-fraction}"]
    with pytest.raises(RequestError, match=r"filter\.tau means nothing to rule=top-fraction"):
        resolve("mini", task="cars", source="retrieved", n=9, settings=settings)


@pytest.mark.parametrize("task", ["", " ", "aircarft", "no/such/folder"])
def test_an_unknown_task_is_refused_before_any_work(preset: Path, task: str) -> None:
    with pytest.raises(
        RequestError, match=r"unknown task '.*(did you mean|there are)|there is no folder"
    ):
        resolve(str(preset), task=task, source="real", n=8)
