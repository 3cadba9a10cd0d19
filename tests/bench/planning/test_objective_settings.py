"""Options of objectives: where they are set, which objectives they reach, and what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.specs import RunSpec
from bench.planning.changes import changes
from bench.planning.differences import differences
from bench.planning.preset import resolve
from bench.planning.study import Block, Study, expand
from tests.support import tempered  # noqa: F401 (registers an objective)


def spec(preset: Path, *settings: str) -> RunSpec:
    return resolve(str(preset), task="aircraft", source="real", n=8, settings=settings)


@pytest.fixture
def tempered_preset(preset: Path, tmp_path: Path) -> Path:
    """A preset with a temperature of its own for one objective."""
    values = yaml.safe_load(preset.read_text()) | {"objectives": {"tempered": {"temperature": 0.2}}}
    path = tmp_path / "preset.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_defaults_are_written_out_and_given_defaults_are_the_same_run(preset: Path) -> None:
    usual = spec(preset, "objective=tempered")
    assert usual.objective_options == {
        "temperature": 0.1,
        "per_group": 1,
        "texts": False,
        "masks": False,
    }
    given = spec(preset, "objective.temperature=0.1", "objective=tempered")
    assert given.run_id == usual.run_id
    other = spec(preset, "objective.temperature=0.3", "objective=tempered")
    assert other.objective_options["temperature"] == 0.3
    assert other.run_id != usual.run_id
    assert spec(preset).objective_options == {}


def test_a_preset_may_have_options_for_each_objective(tempered_preset: Path) -> None:
    assert spec(tempered_preset).objective_options == {}
    mild = spec(tempered_preset, "objective=tempered")
    assert mild.objective_options["temperature"] == 0.2
    said = [change.setting for change in changes([mild], str(tempered_preset))]
    assert said == ["objective"]
    hot = spec(tempered_preset, "objective=tempered", "objective.temperature=0.9")
    (_, change) = changes([hot], str(tempered_preset))
    assert (change.setting, change.preset, change.values) == ("objective.temperature", 0.2, [0.9])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["objective.temperature=1"], "unknown setting of the objective ce 'temperature'"),
        (["objective=tempered", "objective.temperatures=1"], "did you mean temperature?"),
        (["objective=tempered", "objective.temperature=hot"], "temperature: expected `float`"),
        (["objective={temperature: 1}"], "write objective=NAME, and objective.OPTION=VALUE"),
        (["order.objective=ce"], "order has no settings within it; write order="),
        (["train.init=scratch", "train.freeze_tower=true"], "leave one of them out"),
        (["train.init=scratch", "train.head_init=text"], "leave train.head_init out"),
        (["train.weight_decay_end=-1"], "weight_decay_end"),
    ],
)
def test_what_does_not_fit_is_refused(preset: Path, settings: list[str], why: str) -> None:
    with pytest.raises(RequestError, match=re.escape(why)):
        spec(preset, *settings)


def test_a_head_starts_at_random_from_scratch(preset: Path) -> None:
    assert spec(preset).train.head_init == "text"
    assert spec(preset, "train.init=scratch").train.head_init == "random"


def expanded(preset: Path, **more: Any) -> list[RunSpec]:
    axes = {"task": "aircraft", "source": "real", "n": 8, "objective": ["ce", "tempered"]}
    blocks = [Block(product=axes)]
    return expand(Study(file="study.yaml", name="s", preset=str(preset), grid=blocks, **more))


def test_a_study_gives_each_objective_settings_of_its_own(preset: Path) -> None:
    own: dict[str, Json] = {"tempered": {"objective.temperature": 0.4, "train.lr": 0.5}}
    plain, hot = expanded(preset, per_objective=own)
    assert (plain.objective_options, plain.train.lr) == ({}, 1e-3)
    assert (hot.objective_options["temperature"], hot.train.lr) == (0.4, 0.5)
    assert differences([plain, hot]) == [
        {"objective": "ce", "train.lr": 1e-3}, {"objective": "tempered", "train.lr": 0.5}
    ]  # fmt: skip
    _, cold = expanded(preset)
    assert differences([plain, hot, cold])[1:] == [
        {"objective": "tempered", "train.lr": 0.5, "objective.temperature": 0.4},
        {"objective": "tempered", "train.lr": 1e-3, "objective.temperature": 0.1},
    ]


def test_an_option_for_a_whole_study_reaches_the_objectives_that_have_it(preset: Path) -> None:
    plain, hot = expanded(preset, overrides=[("objective.temperature", 0.6)])
    assert (plain.objective_options, hot.objective_options["temperature"]) == ({}, 0.6)
    both = expanded(preset, overrides=[("objective", "tempered"), ("objective.temperature", 0.6)])
    assert [one.objective_options["temperature"] for one in both] == [0.6]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"overrides": [("objective.temperatures", 1)]}, "has it; did you mean temperature?"),
        ({"per_objective": {"temperd": {}}}, "did you mean tempered?"),
        ({"per_objective": {"ce": {"objective": "tempered"}}}, "write it in the grid"),
        (
            {"settings": {"objective.temperature": 1}},
            "block 1: unknown setting of the objective ce",
        ),
    ],
)
def test_a_wrong_option_of_a_study_is_refused(preset: Path, more: Json, why: str) -> None:
    with pytest.raises(RequestError, match=re.escape(why)):
        expanded(preset, **more)
