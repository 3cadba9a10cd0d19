"""A run's id stands for all that determines its result, and for nothing else."""

import json
import string
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.core.json_values import canonical_json, digest
from bench.core.specs import RunSpec, TrainSpec
from bench.planning.preset import resolve

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
def test_a_spec_survives_json_whatever_the_order_of_its_keys(spec: RunSpec) -> None:
    def reversed_keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reversed_keys(value[key]) for key in reversed(value)}
        return value

    values = reversed_keys(json.loads(msgspec.json.encode(spec)))
    again = msgspec.json.decode(json.dumps(values), type=RunSpec)
    assert again == spec
    assert again.run_id == spec.run_id
    assert canonical_json(values) == canonical_json(spec)


@given(specs, specs)
def test_different_specs_have_different_ids(left: RunSpec, right: RunSpec) -> None:
    assume(canonical_json(left) != canonical_json(right))
    # Of a preset's path, only the file's name counts.
    assume(not left.preset.startswith("/") and not right.preset.startswith("/"))
    assert left.run_id != right.run_id


@given(specs, st.sampled_from(sorted(RunSpec.__struct_fields__)))
def test_any_change_changes_the_run_id(spec: RunSpec, name: str) -> None:
    changed: Any
    match value := getattr(spec, name):
        case dict():
            changed = {**value, "another": {} if name == "evaluators" else "one"}
        case TrainSpec():
            changed = msgspec.structs.replace(value, epochs=value.epochs + 1)
        case int() | None:
            changed = (value or 0) + 1
        case _:
            changed = f"{value}x"
    assert msgspec.structs.replace(spec, **{name: changed}).run_id != spec.run_id


OTHER_TRAINING: dict[str, Any] = {
    "epochs": 31, "steps": 9, "batch_size": 511, "sampling": "balanced", "lr": 1e-4,
    "betas": (0.9, 0.9), "weight_decay": 0.0, "decay_norm_and_bias": False, "warmup_steps": 0,
    "warmup_fraction": 0.5, "clip_norm": 2.0, "precision": "bf16", "head_init": "random",
    "freeze_tower": True, "select_by": "knn", "crop": "paper", "init": "scratch",
    "weight_decay_end": 0.2, "adjacent": "pair", "drop_path": 0.1,
}  # fmt: skip
OTHER_EXECUTION = {"micro_batch": 2, "workers": 3, "nodes": 2, "gpus_per_node": 8, "compile": True}


def test_how_a_run_is_executed_does_not_change_its_id(preset: Path) -> None:
    spec = resolve(str(preset), task="aircraft", source="real", n=8)
    changes = OTHER_TRAINING | OTHER_EXECUTION
    assert changes.keys() == set(TrainSpec.__struct_fields__)
    for name, value in changes.items():
        train = msgspec.structs.replace(spec.train, **{name: value})
        assert train != spec.train
        same = msgspec.structs.replace(spec, train=train).run_id == spec.run_id
        assert same == (name in OTHER_EXECUTION), name


@pytest.mark.parametrize(
    ("task", "source", "settings", "run_id"),
    [
        ("aircraft", "none", {}, "6b4fe0a8dbfd"),
        ("cars", "retrieved", {"train.lr": 1e-3}, "1778fce3099c"),
    ],
)
def test_runs_of_earlier_versions_keep_their_ids(
    task: str, source: str, settings: dict[str, Any], run_id: str
) -> None:
    """Those of commit 0524f66, which knew neither `train.init` nor its like."""
    spec = resolve("mini", task=task, source=source, n=8, seed=1, settings=settings)
    assert spec.run_id == run_id
    values = json.loads(msgspec.json.encode(spec))
    del values["objective_options"]
    for name in ("init", "weight_decay_end", "adjacent", "drop_path"):
        del values["train"][name]
    old = msgspec.json.decode(json.dumps(values), type=RunSpec)
    assert (old.run_id, old.train) == (run_id, spec.train)


def test_a_digest_is_the_same_on_every_machine_and_in_every_version() -> None:
    # sha256 of {"a":[1.5],"b":null}
    assert digest({"b": None, "a": [1.5]}) == "831603e12d04"
    assert len(digest({}, 15)) == 15
