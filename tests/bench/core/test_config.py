"""Reading what a user declares: unknown keys and wrong values are refused by name."""

from typing import Any, ClassVar, Literal

import msgspec
import pytest

from bench.core.config import Config, assign, parse_assignment, parse_config, spec_values
from bench.core.errors import RequestError
from bench.core.specs import TrainSpec


class Letters(Config, frozen=True):
    given: list[Literal["alpha", "beta"]] | None = None


def test_a_config_is_immutable() -> None:
    with pytest.raises(AttributeError):
        Letters().given = []  # type: ignore[misc]


def test_an_unknown_setting_is_named_with_its_neighbour() -> None:
    with pytest.raises(RequestError, match=r"unknown setting of train 'epoch'; did you mean epoc"):
        parse_config(TrainSpec, {"epoch": 3}, "train")


class Outer(Config, frozen=True):
    letters: Letters = Letters()


@pytest.mark.parametrize("name", ["given", "letters_given"])
def test_a_setting_that_is_one_level_deeper_is_suggested(name: str) -> None:
    with pytest.raises(RequestError, match=r"did you mean letters\.given\?"):
        parse_config(Outer, {name: []}, "outer")


@pytest.mark.parametrize("value", ["many", None, [1], 1.5])
def test_a_value_that_does_not_fit_is_named_by_its_place(value: object) -> None:
    with pytest.raises(RequestError, match=r"train: .*epochs"):
        parse_config(TrainSpec, {"epochs": value}, "train")


def test_a_wrong_choice_in_a_list_is_named_with_the_choices() -> None:
    with pytest.raises(RequestError, match=r"given\[1\]: .*'alfa'; did you mean alpha\?.* beta"):
        parse_config(Letters, {"given": ["beta", "alfa"]}, "letters")


@pytest.mark.parametrize("values", [5, "text", None, ["epochs"]])
def test_settings_that_are_no_mapping_are_refused(values: Any) -> None:
    with pytest.raises(RequestError, match="is not a mapping"):
        parse_config(TrainSpec, values, "train")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("train.lr=1e-5", "train.lr", 1e-5),
        ("model=a=b", "model", "a=b"),
        ("source.parts={real: 1}", "source.parts", {"real": 1}),
        ("train.micro_batch=null", "train.micro_batch", None),
    ],
)
def test_assignments_are_read_as_yaml(text: str, path: str, value: object) -> None:
    assert parse_assignment(text) == (path, value)


@pytest.mark.parametrize("text", ["train.lr", "=3", " =3", "train.lr=[1", ""])
def test_what_sets_nothing_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--set"):
        parse_assignment(text)


class Filter(Config, frozen=True, kw_only=True, tag_field="rule", tag="threshold"):
    model: str = "m"
    tau: float = 0.2


class Options(Config, frozen=True, kw_only=True):
    parts: dict[str, float] = {}
    options: dict[str, dict[str, object]] = {}
    filter: Filter = Filter()
    many: list[int] = []


@pytest.mark.parametrize(
    ("path", "value", "result"),
    [
        ("filter", {"tau": 1}, {"filter": {"rule": "threshold", "model": "a", "tau": 1}}),
        ("filter.tau", 1, {"filter": {"rule": "threshold", "model": "a", "tau": 1}}),
        ("options", {"real": {"y": 2}}, {"options": {"real": {"x": 1, "y": 2}}}),
        ("options.real", {"y": 2}, {"options": {"real": {"x": 1, "y": 2}}}),
        ("parts", {"real": 1}, {"parts": {"real": 1}}),
        ("parts.real", 1, {"parts": {"real": 1, "folder": 2}}),
        ("many", [3], {"many": [3]}),
        ("filter", None, {"filter": None}),
    ],
)
def test_a_mapping_of_settings_is_laid_over_what_is_there(
    path: str, value: object, result: dict[str, object]
) -> None:
    base: dict[str, Any] = {
        "parts": {"folder": 2},
        "options": {"real": {"x": 1}},
        "filter": {"rule": "threshold", "model": "a"},
        "many": [1, 2],
    }
    before = msgspec.json.encode(base)
    values = dict(base)
    assign(values, path.split("."), value, Options)
    assert values == base | result
    assert msgspec.json.encode(base) == before


class Grown(Config, frozen=True):
    later: ClassVar = ("extra", "shares")
    size: int = 1
    extra: str | None = None
    shares: dict[str, float] = msgspec.field(default_factory=lambda: {"a": 1.0})


class Around(Config, frozen=True):
    grown: Grown = Grown()


def test_a_later_setting_at_its_default_is_no_part_of_a_spec() -> None:
    assert spec_values(Around()) == {"grown": {"size": 1}}
    assert spec_values(Around(grown=Grown(shares={"a": 1.0}))) == {"grown": {"size": 1}}
    given = {"size": 2, "extra": "x", "shares": {"a": 0.5, "b": 0.5}}
    parsed = parse_config(Around, {"grown": given}, "around")
    assert spec_values(parsed) == {"grown": given}
    assert parse_config(Around, spec_values(Around()), "around") == Around()
