"""Studies: what a file expands to, and what is refused before any work."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.errors import RequestError
from bench.core.json_values import Json, canonical_json
from bench.core.paths import Home
from bench.core.size import parse_size
from bench.core.specs import RunSpec
from bench.planning.differences import differences
from bench.planning.preset import resolve
from bench.planning.study import MAX_RUNS, Block, Study, expand, load_study
from bench.steps.prepare import all_with_fingerprints, with_fingerprints
from tests.conftest import Bench


def study(*blocks: Block, **more: Any) -> Study:
    return Study(file="study.yaml", name="study", preset="mini", grid=list(blocks), **more)


def runs(*blocks: Block, **more: Any) -> list[tuple[str, int | None, int, float]]:
    return [(s.source, s.n, s.seed, s.train.lr) for s in expand(study(*blocks, **more))]


def test_product_zip_and_both_combine_as_they_say() -> None:
    base = {"task": "cars", "source": "real"}
    crossed = Block(product={**base, "n": [1, 2], "seed": [0, 1]})
    assert [run[1:3] for run in runs(crossed)] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    in_step = Block(zip={"task": ["cars"] * 2, "source": ["real"] * 2, "n": [1, 2], "seed": [0, 1]})
    assert [run[1:3] for run in runs(in_step)] == [(1, 0), (2, 1)]
    both = Block(product={**base, "seed": [0, 1]}, zip={"n": [1, "2k"], "train.lr": [0.1, 0.2]})
    assert [run[1:] for run in runs(both)] == [
        (1, 0, 0.1), (2000, 0, 0.2), (1, 1, 0.1), (2000, 1, 0.2),
    ]  # fmt: skip


def test_a_blocks_own_setting_wins_over_its_sources_and_that_over_the_studys() -> None:
    blocks = [
        Block(product={"task": "cars", "source": ["real", "retrieved"], "n": 5}),
        Block(product={"task": "cars", "source": "real", "n": 5, "train.lr": 0.3}),
    ]
    settings = {"train.lr": 0.1}
    expanded = runs(*blocks, settings=settings, per_source={"real": {"train.lr": 0.2}})
    assert expanded == [("real", 5, 0, 0.2), ("retrieved", 5, 0, 0.1), ("real", 5, 0, 0.3)]


BOTH = Block(product={"task": "cars", "n": 8, "source": [
    "none", "retrieved", "synthetic", "mixed", "denoised",
]})  # fmt: skip


def overridden(*pairs: tuple[str, Any]) -> dict[str, Json]:
    """Return the options of each source of a study that is started with some settings."""
    return {spec.source: spec.options for spec in expand(study(BOTH, overrides=list(pairs)))}


def test_a_setting_for_all_sources_applies_to_those_that_have_it_and_to_parts() -> None:
    usual = overridden()
    options = overridden(("source.captions.writer", "minimal-pairs"))
    assert options["synthetic"]["captions"]["writer"] == "minimal-pairs"
    # A mixture still takes the images that the pure arm has.
    assert options["mixed"]["options"] == {
        name: options[name] for name in ("retrieved", "synthetic")
    }
    for source in ("none", "retrieved", "denoised"):
        assert options[source] == usual[source]
    tau = overridden(("source.filter.tau", 0.3), ("train.epochs", 2))
    assert tau["retrieved"]["filter"]["tau"] == 0.3
    assert tau["denoised"]["options"]["retrieved"]["filter"]["tau"] == 0.3
    # It filters nothing, so it has no threshold.
    assert tau["synthetic"] == usual["synthetic"]


def test_settings_for_all_sources_may_depend_on_each_other() -> None:
    pairs = [("source.filter.tau", 0.3), ("source.filter.rule", "threshold")]
    for order in (pairs, pairs[::-1]):
        options = overridden(*order)
        assert options["synthetic"]["filter"]["tau"] == 0.3
        assert options["mixed"]["options"]["synthetic"] == options["synthetic"]
    one = overridden(("source.options.synthetic.captions.retries", 3))
    assert one["mixed"]["options"]["synthetic"]["captions"]["retries"] == 3
    assert one["synthetic"] == overridden()["synthetic"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("source.writer", "no source of study.yaml has it; did you mean source.captions.writer?"),
        ("source.filter.tauu", "did you mean source.filter.tau"),
        ("source.captions.writer.name", "no source of study.yaml has it"),
        ("source.zzz", "no source of study.yaml has it"),
    ],
)
def test_a_setting_that_no_source_has_is_refused(path: str, why: str) -> None:
    with pytest.raises(RequestError, match=f"--set {path}: .*{re.escape(why)}"):
        overridden((path, 1))
    with pytest.raises(RequestError, match="tau: expected `float`"):
        overridden(("source.filter.tau", "much"))


def test_a_value_that_is_a_list_or_a_mapping_is_written_in_a_list() -> None:
    betas = {"train.betas": [[0.8, 0.9]]}
    (spec,) = expand(study(Block(product={"task": "cars", "source": "real", "n": 5, **betas})))
    assert spec.train.betas == (0.8, 0.9)


def test_equal_specs_are_one_run_however_they_are_written() -> None:
    blocks = [
        Block(product={"task": "cars", "source": "real", "seed": [0], "n": [1000, "1k", "all"]}),
        Block(zip={"n": ["1k"], "seed": 0, "source": ["real"], "task": ["mini-cars"]}),
        Block(product={"task": "cars", "source": "none", "n": ["all", 5, 7]}),
    ]
    assert [run[:2] for run in runs(*blocks)] == [("real", 1000), ("real", None), ("none", 0)]


AXES = {
    "task": st.sampled_from(["aircraft", "cars", "mini-cars"]),
    "source": st.sampled_from(["real", "retrieved", "synthetic", "none", "mixed"]),
    "n": st.sampled_from([1, 40, "1k", "1000", "all"]),
    "seed": st.sampled_from([0, 1, 2**31 - 1]),
    "train.lr": st.sampled_from([1e-3, 3e-3, "1e-3"]),
    "train.epochs": st.sampled_from([1, 2]),
    "order": st.sampled_from(["random", "balanced"]),
}


def values(name: str) -> st.SearchStrategy[list[Any]]:
    return st.lists(AXES[name], min_size=1, max_size=2)


@settings(max_examples=10, deadline=None)
@given(
    axes=st.fixed_dictionaries(
        {name: values(name) for name in ("task", "source", "n")},
        optional={name: values(name) for name in ("seed", "train.lr", "train.epochs", "order")},
    )
)
def test_specs_expanded_together_are_those_resolved_one_by_one(axes: dict[str, list[Any]]) -> None:
    home = Home(Path("/nowhere"))
    expanded = all_with_fingerprints(expand(study(Block(product=axes))), home)
    alone: dict[str, RunSpec] = {}
    for values in product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        task, source, n = (point.pop(name) for name in ("task", "source", "n"))
        size, seed = parse_size(str(n)), point.pop("seed", 0)
        spec = resolve("mini", task=task, source=source, n=size, seed=seed, settings=point)
        alone.setdefault(spec.run_id, with_fingerprints(spec, home))
    assert expanded == list(alone.values())
    assert [spec.run_id for spec in expanded] == [spec.run_id for spec in alone.values()]


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)  # fmt: skip
def test_the_canonical_json_of_a_value_is_that_of_its_plain_parts(value: object) -> None:
    """Run ids outlive the way they are computed."""
    spec = resolve("mini", task="cars", source="retrieved", n=5)
    for data in (value, spec, [spec, value]):
        plain = msgspec.json.encode(msgspec.to_builtins(data), order="deterministic")
        assert canonical_json(data) == plain


def test_what_changed_on_disk_is_seen_by_the_next_request(
    home: Home, preset: Path, tiny_clip: Path, colours: Path
) -> None:
    def fingerprints() -> dict[str, str]:
        spec = resolve(str(preset), task=str(colours), source="real", n=5)
        first, second = all_with_fingerprints([spec, msgspec.structs.replace(spec, n=6)], home)
        assert first.fingerprints == second.fingerprints
        assert first.fingerprints == with_fingerprints(spec, home).fingerprints
        return first.fingerprints

    before = fingerprints()
    image = next(colours.rglob("*.png"))
    content = image.read_bytes()
    try:
        image.write_bytes(content + b"\0")
        assert fingerprints() != before
    finally:
        image.write_bytes(content)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("synthetic", "source.seed"),
        ("denoised", "source.seed"),
        ("denoised", "source.options.synthetic.seed"),
        ("mixed", "source.options.synthetic.seed"),
    ],
)
def test_the_seed_of_a_source_is_an_axis(source: str, path: str) -> None:
    parts = {"source.parts": [{"synthetic": 1, "retrieved": 1}]} if source == "mixed" else {}
    inner = {"source.of": "synthetic"} if source == "denoised" else {}
    axes = {"task": "cars", "source": source, "n": 5, path: [0, 1], **parts, **inner}
    specs = expand(study(Block(product=axes)))
    assert len({spec.run_id for spec in specs}) == 2
    assert differences(specs) == [{path: 0}, {path: 1}]


def test_retrieved_images_have_no_seed_of_their_own() -> None:
    axes = {"task": "cars", "source": "retrieved", "n": 5, "source.seed": [0, 1]}
    with pytest.raises(RequestError, match="unknown setting of the source retrieved 'seed'"):
        expand(study(Block(product=axes)))


def test_an_unknown_task_of_one_run_of_many_is_said_with_its_block() -> None:
    many = study(Block(product={"task": ["cars", "cras"], "source": "real", "n": [1, 2]}))
    with pytest.raises(RequestError, match=r"block 1: unknown task 'cras'; did you mean cars\?"):
        expand(many)


def test_a_nested_setting_for_all_sources_applies_where_its_names_do() -> None:
    axes = {"task": "cars", "source": ["retrieved", "synthetic"], "n": 5}
    nested, named = (
        expand(study(Block(product=axes), overrides=[given]))
        for given in (("source", {"filter": {"tau": 0.3}}), ("source.filter.tau", 0.3))
    )
    assert (
        nested
        == named
        == expand(study(Block(product=axes), overrides=[("source.filter", {"tau": 0.3})]))
    )
    assert [spec.options["filter"].get("tau") for spec in nested] == [0.3, None]
    with pytest.raises(RequestError, match=r"source\.filter\.tauu: no source of .* did you mean"):
        expand(study(Block(product=axes), overrides=[("source.filter", {"tauu": 0.3})]))


def test_nested_settings_are_laid_over_each_other_in_order() -> None:
    axes = {"task": "cars", "source": "real", "n": 5, "train": {"lr": 0.3}}
    given = study(
        Block(product=axes),
        settings={"train": {"lr": 0.1, "epochs": 3}, "train.batch_size": 7},
        per_source={"real": {"train.lr": 0.2}},
    )
    (spec,) = expand(given)
    train = (spec.train.lr, spec.train.epochs, spec.train.batch_size, spec.train.warmup_fraction)
    assert train == (0.3, 3, 7, 0.1)


RIGHT = {"task": "cars", "source": "real", "n": 1}


def block(**axes: Any) -> str:
    return json.dumps({"preset": "mini", "grid": [{"product": RIGHT}, {"product": RIGHT | axes}]})


def grid(block: str) -> str:
    return f"preset: mini\ngrid: [{block}]"


ONE = "{task: cars, source: real, n: 1}"
REFUSED = {
    "n: []": (block(n=[]), "block 2: the list of n is empty"),
    "n: [[1]]": (block(n=[[1]]), "block 2: n: [1] is not a value"),
    "n: -1": (block(n=-1), "block 2: n: '-1' is not a number of images"),
    "n: 0": (block(n=0), "block 2: n: '0' is not a number of images"),
    "n: true": (block(n=True), "block 2: n: True is not a value"),
    "n: null": (block(n=None), "block 2: n: None is not a value"),
    "n: {}": (block(n={}), "block 2: n: {} is not a value"),
    "seed: true": (block(seed=[0, True]), "block 2: seed: True is not a value"),
    "seed: 1.5": (block(seed=1.5), "block 2: seed: 1.5 is not a seed"),
    "seed: -1": (block(seed=-1), "block 2: seed: -1 is not a seed"),
    "seed: 2**31": (block(seed=2**31), "block 2: seed: 2147483648 is not a seed"),
    "task: [null]": (block(task=[None]), "block 2: task: None is not a value"),
    "a setting unknown": (block(**{"train.lrr": 1}), "block 2: unknown setting of train 'lrr'"),
    "a setting's value": (block(**{"train.lr": [[1]]}), "block 2: train: lr:"),
    "a source unknown": (block(source="reel"), "block 2: unknown source 'reel'"),
    "a block unknown": (grid(f"{{sum: {ONE}}}"), "unknown field `sum`"),
    "a list of axes": (grid("{product: [1]}"), "grid[0].product"),
    "no grid": ("preset: mini", "grid"),
    "a field misspelt": ("preset: mini\ngrid: []\ngird: []", "did you mean grid"),
    "n: x": (block(n="x"), "block 2: n: 'x'"),
    "seed: a": (block(seed="a"), "block 2: seed: 'a' is not a seed"),
    "no n": (grid("{product: {task: a, source: real}}"), "has no n"),
    "no list of blocks": (f"preset: mini\ngrid: {{product: {ONE}}}", "grid"),
    "an axis twice": (
        grid(f"{{product: {ONE}, zip: {{n: [1]}}}}"), "block 1: n is in `product` and in `zip`",
    ),
    "lengths": (
        grid("{product: {task: cars}, zip: {source: [real], n: [1, 2]}}"),
        "block 1: the lists under `zip` differ in length: source 1, n 2",
    ),
    "nothing": (grid("{}"), "block 1 has no task, source, n"),
    "a source without runs": (
        f"preset: mini\nper_source: {{raal: {{}}}}\ngrid: [{{product: {ONE}}}]",
        "unknown source in per_source of",
    ),
    "a key twice": (
        "preset: mini\ngrid:\n- product: {task: cars, source: real, n: 1, n: 2}",
        "there is 'n' a second time (line 3)",
    ),
    "10^12 runs": (
        block(**{f"train.{name}": list(range(1000)) for name in ("lr", "epochs", "batch_size")}),
        "has 1000000001 runs; a study has at most 1,000,000",
    ),
    "aliases": (
        "a: &a [x]\n" + "b: &b [*a, *a]\n" + grid(f"{{product: {ONE}}}"),
        "there is an alias, which is not supported: write out its value (line 2)",
    ),
    "no number": ("preset: mini\nsettings: {train.lr: .nan}\ngrid: []", "'.nan', which is not"),
    "a huge number": (grid(f"{{product: {{n: 0x{'f' * 5000}}}}}"), "is not a finite"),
    "deep": ("[" * 5_000, "is not YAML"),
    "a tag": ("preset: !!python/object/apply:os.getcwd []", "is not YAML"),
    "bytes": ("\0", "is not YAML"),
    "a list": ("[1]", "does not hold a mapping"),
    "empty": ("", "is empty"),
    "an empty grid": ("preset: mini\ngrid: []", "the grid is empty; add a block"),
    "an unknown task": (block(task="aircrafts"), "block 2: unknown task 'aircrafts'; did you"),
    "an unknown source": (block(source="reel"), "block 2: unknown source 'reel'; did you mean"),
    "a leading zero": (grid("{product: {n: 010}}"), "leading zero, or in quotes"),
    "keys": (grid("{product: {1: [2]}}"), "grid[0].product"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_study_is_one_line_that_names_its_place(
    bench: Bench, home: Home, tmp_path: Path, name: str
) -> None:
    content, why = REFUSED[name]
    path = tmp_path / "study.yaml"
    path.write_text(content)
    for words in ((), ("--dry-run",)):
        done = bench("sweep", str(path), *words)
        assert done.code == 2
        assert str(path) in done.complaint
        assert why in done.complaint
    assert not home.root.exists()


def test_a_study_of_as_many_runs_as_there_may_be_is_not_refused_for_that(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    axes = {"seed": list(range(1000)), "train.lr": ["x"] * (MAX_RUNS // 1000)}
    path.write_text(grid(json.dumps({"product": RIGHT | axes})))
    with pytest.raises(Exception, match="block 1: train: lr"):
        expand(load_study(path))
