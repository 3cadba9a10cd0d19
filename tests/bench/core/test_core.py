"""The foundations: sizes, errors, registries, declarations, identities, files."""

import json
import os
import string
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.core.config import Config, parse_assignment, parse_config, read_yaml
from bench.core.duration import format_duration, format_durations
from bench.core.errors import BenchError, RequestError, unknown_name
from bench.core.files import atomic_folder, fingerprint, write_atomic
from bench.core.json_values import canonical_json, digest
from bench.core.size import format_size, parse_size
from bench.core.specs import RunSpec, TrainSpec
from bench.planning.preset import resolve
from bench.plugins import registry as registry_module
from bench.plugins import sources
from bench.plugins.registry import Registry, load_plugin

# ---------------------------------------------------------------- sizes


@given(st.integers(1, 10**12))
def test_a_formatted_size_reads_back(count: int) -> None:
    assert parse_size(format_size(count)) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("500", 500),
        ("31.25k", 31_250),
        ("2.5M", 2_500_000),
        ("1b", 10**9),
        (" 10_000 ", 10_000),
        ("1e3", 1000),
        ("all", None),
        ("ALL", None),
    ],
)
def test_sizes_read_as_people_write_them(text: str, count: int | None) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    ("seconds", "text", "in_hours"),
    [
        (0, "0 s", "0 s"),
        (0.0097, "0.01 s", "0.01 s"),
        (0.31, "0.31 s", "0.31 s"),
        (9.96, "10 s", "10 s"),
        (43.2, "43 s", "43 s"),
        (119.6, "2 min", "2 min"),
        (7_199, "2 h", "2 h"),
        (47 * 3_600, "47 h", "47 h"),
        (12 * 86_400, "12 days", "288 h"),
    ],
)
def test_durations_have_the_unit_a_person_would_use(
    seconds: float, text: str, in_hours: str
) -> None:
    assert format_duration(seconds) == text
    assert format_duration(seconds, longest="h") == in_hours


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (13.7, 43.2, "14 to 43 s"),
        (43, 43.1, "43 s"),
        (50, 300, "50 s to 5 min"),
        (110, 150, "1.8 to 2.5 min"),
    ],
)
def test_a_span_of_durations_has_its_unit_once(low: float, high: float, text: str) -> None:
    assert format_durations(low, high) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "all"), (1, "1"), (999, "999"), (31_250, "31.25k"), (250_000, "250k"), (10**6, "1M")],
)
def test_sizes_are_written_shortly(count: int | None, text: str) -> None:
    assert format_size(count) == text


@pytest.mark.parametrize(
    "text",
    ["", " ", "k", "0", "-5", "1.5", "0.0001k", "ten", "nan", "inf", "snan", "1e999999999k", "2T"],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="is not a number of images"):
        parse_size(text)


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_a_request_error(text: str) -> None:
    try:
        count = parse_size(text)
    except RequestError:
        return
    assert count is None or count >= 1


# ---------------------------------------------------------------- errors


@given(st.text(), st.text())
def test_an_error_is_one_line(what: str, fix: str) -> None:
    assert len(str(BenchError(what, fix)).splitlines()) <= 1


def test_a_near_miss_is_suggested_and_a_far_one_gets_the_list() -> None:
    assert "did you mean retrieved?" in str(unknown_name("source", "retreived", ["retrieved"]))
    assert "there are: a, b" in str(unknown_name("source", "zzz", ["b", "a"]))


# ---------------------------------------------------------------- registries


def test_a_name_is_given_once() -> None:
    things: Registry[object] = Registry("source", "sources")
    thing = things.register("mine")(object())
    assert things.register("mine")(thing) is thing
    with pytest.raises(RequestError, match="two sources are called 'mine'"):
        things.register("mine")(object())


def test_a_plug_in_cannot_take_a_built_in_name(tmp_path: Path) -> None:
    plugin = tmp_path / "shadow.py"
    plugin.write_text(
        "from bench.plugins import sources\n@sources.register('real')\nclass Shadow: ...\n"
    )
    with pytest.raises(RequestError, match="two sources are called 'real'"):
        load_plugin(plugin)
    assert sources.get("real").__module__ == "sources.real"


def test_every_built_in_source_loads_under_its_file_name() -> None:
    built_in = {"denoised", "folder", "mixed", "none", "real", "retrieved", "synthetic"}
    assert built_in <= set(sources.names())
    assert {sources.get(name).__module__ for name in built_in} == {f"sources.{n}" for n in built_in}


def test_an_unknown_name_is_refused_with_its_neighbours() -> None:
    with pytest.raises(RequestError, match=r"unknown source 'reel'; did you mean real\?"):
        sources.get("reel")


def test_a_plug_in_file_registers_what_it_decorates(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from bench.plugins import sources\n"
        "@sources.register('of-a-file')\nclass Mine:\n    origin = 'file'\n"
    )
    load_plugin(plugin)
    assert vars(sources.get("of-a-file"))["origin"] == "file"


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "is not a Python file"), ("import nosuchthing", "nosuchthing"), ("def", "syntax")],
)
def test_a_plug_in_that_does_not_import_is_a_request_error(
    tmp_path: Path, content: str | None, why: str
) -> None:
    plugin = tmp_path / "broken.py"
    if content is not None:
        plugin.write_text(content)
    with pytest.raises(RequestError, match=why):
        load_plugin(plugin)


def test_entry_points_are_listed_and_loaded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("theirs", "collections:OrderedDict", "bench.sources"),
        EntryPoint("broken", "no_such_package:Thing", "bench.sources"),
    ]
    monkeypatch.setattr(registry_module, "entry_points", lambda **_: points)
    things: Registry[object] = Registry("source", "sources")
    assert {"theirs", "broken", "real"} <= set(things.names())
    assert getattr(things.get("theirs"), "__name__", "") == "OrderedDict"
    with pytest.raises(RequestError, match="'broken' of an installed package does not import"):
        things.get("broken")


# ---------------------------------------------------------------- declarations


def test_an_unknown_setting_is_named_with_its_neighbour() -> None:
    with pytest.raises(RequestError, match=r"unknown setting of train 'epoch'; did you mean epoc"):
        parse_config(TrainSpec, {"epoch": 3}, "train")


@pytest.mark.parametrize("value", ["many", None, [1], 1.5])
def test_a_value_that_does_not_fit_is_named_by_its_place(value: object) -> None:
    with pytest.raises(RequestError, match=r"train: .*epochs"):
        parse_config(TrainSpec, {"epochs": value}, "train")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "source.scheduler=dpm",
            r"scheduler: .*'dpm'; did you mean dpm\+\+\? there are: ddim, dpm",
        ),
        ("source.scheduler=euler", r"scheduler: .*'euler'; there are: ddim, dpm\+\+, pipeline$"),
        ("evaluators.linear-probe.rule=two-se", r"did you mean one-se\? there are: one-se, best$"),
        ("train.precision=bf-16", r"did you mean bf16.*\? there are: fp32, bf16, fp16$"),
    ],
)
def test_a_word_that_is_no_choice_is_named_with_all_that_are(setting: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        resolve("mini", task="cars", source="synthetic", n=9, seed=0, settings=[setting])


def test_choices_in_lists_are_named_too() -> None:
    class Letters(Config, frozen=True):
        given: list[Literal["alpha", "beta"]] | None = None

    with pytest.raises(
        RequestError, match=r"given\[1\]: .*'alfa'; did you mean alpha\? there are: a"
    ):
        parse_config(Letters, {"given": ["beta", "alfa"]}, "letters")


@pytest.mark.parametrize("values", [5, "text", None, ["epochs"]])
def test_settings_that_are_no_mapping_are_refused(values: Any) -> None:
    with pytest.raises(RequestError, match="is not a mapping"):
        parse_config(TrainSpec, values, "train")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("train.lr=1e-5", ["train", "lr"], "1e-5"),
        ("model=a=b", ["model"], "a=b"),
        ("source.parts={real: 1}", ["source", "parts"], {"real": 1}),
        ("train.micro_batch=null", ["train", "micro_batch"], None),
    ],
)
def test_assignments_are_read_as_yaml(text: str, path: list[str], value: object) -> None:
    assert parse_assignment(text) == (path, value)


@pytest.mark.parametrize("text", ["train.lr", "=3", " =3", "train.lr=[1", ""])
def test_what_sets_nothing_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--set"):
        parse_assignment(text)


def test_a_number_written_as_text_is_a_number(preset: Path) -> None:
    # YAML 1.1 reads 1e-5, without a dot, as text.
    spec = spec_of(preset, "train.lr=1e-5")
    assert spec.train.lr == 1e-5
    assert spec == spec_of(preset, "train.lr=0.00001")


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
        ("train.steps=1", r"train\.steps=1 cannot be judged 2 times; set train\.epochs to 1"),
        ("train.warmup_fraction=2", "train: warmup_fraction: expected `float` <= 1"),
        ("train.epochs=-1", "train: epochs: expected `int` >= 0"),
        ("train.precision=fp8", r"train: .*precision"),
        ("train=5", "train: 5 is not a mapping"),
        ("source=5", "the source real: 5 is not a mapping"),
        ("source.size=3", "unknown setting of the source real 'size'"),
        ("evaluators=5", "evaluators: 5 is not a mapping"),
        ("evaluators.zeroshot={}", "unknown evaluator 'zeroshot'; did you mean zero-shot"),
        ("train.select_by=knn", "unknown evaluator to select by 'knn'"),
        ("order=sorted", r"the run: .*order"),
    ],
)
def test_a_wrong_setting_is_refused_before_any_work(preset: Path, setting: str, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        spec_of(preset, setting)


def test_steps_in_no_parts_are_refused(preset: Path) -> None:
    with pytest.raises(RequestError, match=r"train\.steps=10 cannot be judged 0 times"):
        spec_of(preset, "train.steps=10", "train.epochs=0")


@pytest.mark.parametrize("seed", [-1, 2**31, 10**30])
def test_a_seed_out_of_range_is_refused(preset: Path, seed: int) -> None:
    with pytest.raises(RequestError, match="seed"):
        resolve(str(preset), task="aircraft", source="real", n=8, seed=seed)


def test_defaults_are_written_out(preset: Path) -> None:
    spec = spec_of(preset)
    assert spec.options == {"image_size": 32, "suffix": ".png"}
    assert spec.train.weight_decay == 0.1
    assert spec.task == "mini-aircraft"


@pytest.mark.parametrize(
    "content",
    ["- a list", "a: [", "\0", "x" * 2_000_000, "a: 2020-99-99", "a: 0x_", "[" * 9_999, None],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "file.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RequestError, match=r"file\.yaml"):
        read_yaml(path)


def test_a_mixture_cannot_hold_itself(tmp_path: Path, preset: Path) -> None:
    looped = tmp_path / "looped.yaml"
    looped.write_text(preset.read_text().replace("folder: 0.5", "mixed: 0.5"))
    with pytest.raises(RequestError, match="part of itself"):
        resolve(str(looped), task="aircraft", source="mixed", n=8)


def test_sources_cannot_hold_each_other(tmp_path: Path, preset: Path) -> None:
    looped = tmp_path / "looped.yaml"
    text = preset.read_text().replace("folder: 0.5", "denoised: 0.5")
    content = yaml.safe_load(text)
    content["sources"]["denoised"] = {"of": "mixed", "generator": "g", "filter_model": "c"}
    looped.write_text(yaml.safe_dump(content))
    with pytest.raises(RequestError, match="'mixed' cannot be a part of itself"):
        resolve(str(looped), task="aircraft", source="mixed", n=8)


# ---------------------------------------------------------------- identities


def spec_of(preset: Path, *assignments: str) -> RunSpec:
    return resolve(str(preset), task="aircraft", source="real", n=8, settings=assignments)


numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
options = st.dictionaries(
    st.text(string.ascii_letters, min_size=1, max_size=5),
    st.recursive(
        numbers | st.text(max_size=5) | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=4,
    ),
    max_size=4,
)
specs = st.builds(
    RunSpec,
    preset=st.text(max_size=5),
    task=st.text(max_size=5),
    source=st.text(max_size=5),
    options=options,
    n=st.none() | st.integers(1, 10**9),
    seed=st.integers(0, 2**31 - 1),
    order=st.sampled_from(["random", "balanced"]),
    model=st.text(max_size=5),
    train=st.builds(TrainSpec, epochs=st.integers(0, 99), lr=st.floats(1e-9, 1)),
    evaluators=st.dictionaries(st.text(max_size=4), options, max_size=2),
    fingerprints=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
)


@given(specs)
def test_a_spec_survives_json(spec: RunSpec) -> None:
    again = msgspec.json.decode(msgspec.json.encode(spec), type=RunSpec)
    assert again == spec
    assert again.run_id == spec.run_id


@given(specs)
def test_the_order_of_keys_does_not_change_the_run_id(spec: RunSpec) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return value

    values = turned(json.loads(msgspec.json.encode(spec)))
    assert msgspec.convert(values, RunSpec).run_id == spec.run_id
    assert canonical_json(values) == canonical_json(spec)


@given(specs, specs)
def test_different_specs_have_different_ids(left: RunSpec, right: RunSpec) -> None:
    assume(msgspec.json.encode(left, order="sorted") != msgspec.json.encode(right, order="sorted"))
    assert left.run_id != right.run_id


@given(specs, st.sampled_from(sorted(RunSpec.__struct_fields__)))
def test_any_change_changes_the_run_id(spec: RunSpec, name: str) -> None:
    value = getattr(spec, name)
    changed: Any
    match value:
        case dict():
            changed = {**value, "another": {} if name == "evaluators" else "one"}
        case TrainSpec():
            changed = msgspec.structs.replace(value, epochs=value.epochs + 1)
        case int():
            changed = value + 1
        case None:
            changed = 1
        case _:
            changed = f"{value}x"
    assert msgspec.structs.replace(spec, **{name: changed}).run_id != spec.run_id


OTHER_TRAINING: dict[str, Any] = {
    "epochs": 31,
    "steps": 9,
    "batch_size": 511,
    "sampling": "balanced",
    "lr": 1e-4,
    "betas": (0.9, 0.9),
    "weight_decay": 0.0,
    "decay_norm_and_bias": False,
    "warmup_steps": 0,
    "warmup_fraction": 0.5,
    "clip_norm": 2.0,
    "precision": "bf16",
    "head_init": "random",
    "freeze_tower": True,
    "select_by": "knn",
}
OTHER_WAY = {"micro_batch": 2, "workers": 3, "nodes": 2, "gpus_per_node": 8}


def test_how_a_run_is_carried_out_is_not_what_it_is(preset: Path) -> None:
    spec = spec_of(preset)
    changes = OTHER_TRAINING | OTHER_WAY
    assert changes.keys() == set(TrainSpec.__struct_fields__)
    for name, value in changes.items():
        train = msgspec.structs.replace(spec.train, **{name: value})
        assert train != spec.train
        same = msgspec.structs.replace(spec, train=train).run_id == spec.run_id
        assert same == (name in OTHER_WAY), name


def test_a_digest_is_the_same_on_every_machine_and_in_every_version() -> None:
    # sha256 of {"a":[1.5],"b":null}
    assert digest({"b": None, "a": [1.5]}) == "831603e12d04"


def test_digests_have_the_length_that_was_asked_for() -> None:
    assert len(digest({}, 15)) == 15
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


# ---------------------------------------------------------------- files


def write_weights(folder: Path) -> Path:
    (folder / "unet").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "unet" / "weights.safetensors").write_bytes(bytes(range(256)) * 64)
    return folder


def test_a_fingerprint_depends_on_content_not_on_the_place(tmp_path: Path) -> None:
    one, two = write_weights(tmp_path / "one"), write_weights(tmp_path / "two")
    assert fingerprint(one) == fingerprint(two)
    assert fingerprint(one / "config.json") == fingerprint(two / "config.json")


@settings(max_examples=25)
@given(st.sampled_from(["first byte", "last byte", "longer", "renamed", "added", "removed"]))
def test_a_fingerprint_notices_other_weights(
    tmp_path_factory: pytest.TempPathFactory, change: str
) -> None:
    folder = write_weights(tmp_path_factory.mktemp("weights"))
    before, file = fingerprint(folder), folder / "unet" / "weights.safetensors"
    content = file.read_bytes()
    match change:
        case "first byte":
            file.write_bytes(b"\xff" + content[1:])
        case "last byte":
            file.write_bytes(content[:-1] + b"\0")
        case "longer":
            file.write_bytes(content + b"\0")
        case "renamed":
            file.rename(file.with_name("others.safetensors"))
        case "added":
            (folder / "more.json").write_text("")
        case _:
            file.unlink()
    assert fingerprint(folder) != before


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    write_atomic(path, b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "shard"

    def fail_half_way() -> None:
        with atomic_folder(target) as folder:
            (folder / "part").write_text("1")
            assert not target.exists()
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(target) as folder:
        (folder / "part").write_text("1")
    assert [path.name for path in tmp_path.rglob("*")] == ["shard", "part"]


def test_leftovers_of_a_killed_writer_are_cleared_but_not_a_neighbours(tmp_path: Path) -> None:
    (tmp_path / ".shard-0123abcd").mkdir()
    (tmp_path / ".shard-0123abcd" / "half").write_text("")
    (tmp_path / ".other-0123abcd").mkdir()
    with atomic_folder(tmp_path / "shard"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other-0123abcd", "shard"]


class Option(Config, frozen=True, kw_only=True):
    size: int = 1


def test_declarations_are_immutable() -> None:
    with pytest.raises(AttributeError):
        Option().size = 2  # type: ignore[misc]
