"""A preset says what is not as in the one it extends, and everything else stays."""

from pathlib import Path

import pytest
import yaml

from adapt.optimise import warmup_steps
from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.specs import RunSpec
from bench.planning import preset as presets
from bench.planning.preset import resolve


def written(folder: Path, name: str, content: Json) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"description": "A test's.", **content}))
    return str(path)


def spec_of(preset: str, source: str = "real", *settings: str) -> RunSpec:
    return resolve(preset, task="aircraft", source=source, n=8, settings=settings)


def test_what_is_not_said_is_as_in_the_other(tmp_path: Path) -> None:
    own = written(
        tmp_path,
        "own",
        {
            "extends": "mini",
            "objective": "stablerep",
            "train": {"lr": 3e-3},
            "evaluators": {"zero-shot": None},
            "objectives": {"stablerep": {"per_group": 4}},
        },
    )
    spec, usual = spec_of(own), spec_of("mini", "real", "objective=stablerep")
    assert spec.train.lr == 3e-3
    assert spec.train.batch_size == usual.train.batch_size
    assert set(usual.evaluators) - set(spec.evaluators) == {"zero-shot"}
    assert spec.objective == "stablerep"
    assert spec.objective_options == usual.objective_options | {"per_group": 4}
    assert (spec.model, spec.options, spec.task) == (usual.model, usual.options, usual.task)
    assert presets.load(own).name == own
    assert presets.load(own).description == "A test's."


def test_a_mixtures_parts_are_one_value(tmp_path: Path) -> None:
    mixture = {"mixed": {"parts": {"rendered": 0.5, "real": 0.5}}}
    own = written(tmp_path, "own", {"extends": "mini", "sources": mixture})
    assert spec_of(own, "mixed").options["parts"] == {"rendered": 0.5, "real": 0.5}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"extends": "minni"}, "unknown preset 'minni'; did you mean mini"),
        ({"extends": 5}, "extends: 5 is not a preset's name"),
        ({"extends": "mini", "trian": {}}, "unknown setting of the preset .* 'trian'"),
        ({"extends": "mini", "sources": {"reel": {}}}, "unknown source 'reel'; did you mean real"),
        ({"extends": "mini", "train": 5}, "train"),
    ],
)
def test_a_wrong_one_is_refused(tmp_path: Path, content: Json, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        presets.load(written(tmp_path, "own", content))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"synclr": {"per_grop": 4}}, "of synclr in the preset .*: 'per_grop'; did you mean"),
        ({"sinclr": {"per_group": 4}}, "unknown objective 'sinclr'; did you mean s"),
    ],
)
def test_options_of_an_objective_that_a_run_has_not_are_checked(
    tmp_path: Path, given: Json, why: str
) -> None:
    own = written(tmp_path, "own", {"extends": "mini", "objectives": given})
    with pytest.raises(RequestError, match=why):
        spec_of(own, "real", "objective=stablerep")


def test_one_may_extend_one_that_extends_another(tmp_path: Path) -> None:
    first = written(tmp_path, "first", {"extends": "mini", "train": {"lr": 3e-3, "epochs": 7}})
    second = written(tmp_path, "second", {"extends": first, "train": {"lr": 4e-3}})
    train, usual = spec_of(second).train, spec_of("mini").train
    assert (train.lr, train.epochs, train.batch_size) == (4e-3, 7, usual.batch_size)


def test_none_extends_itself(tmp_path: Path) -> None:
    first, second = (str(tmp_path / f"{name}.yaml") for name in ("first", "second"))
    written(tmp_path, "first", {"extends": second})
    written(tmp_path, "second", {"extends": first})
    with pytest.raises(RequestError, match="extends itself"):
        presets.load(first)


@pytest.mark.parametrize(
    ("preset", "steps"), [("stablerep", 3634), ("synclr", 13_600), ("synclr-code", 2441)]
)
def test_a_warm_up_in_steps_is_not_overruled_by_the_share_of_another_preset(
    preset: str, steps: int
) -> None:
    """Half an epoch of captions (README of the authors' code); 80 k of 500 k steps (the paper)."""
    train = spec_of(preset).train
    assert train.steps is not None
    assert warmup_steps(train, train.steps) == steps
