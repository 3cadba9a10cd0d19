"""What captions are about: shares of kinds, lists of concepts, and what is no class of the task."""

import math
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from bench.core.config import assign, parse_assignment
from bench.core.errors import RequestError
from bench.core.json_values import Json, digest
from bench.core.paths import Home
from bench.core.task import NO_LABEL, Task
from bench.plugins import full_options, sources
from bench.plugins.captions import Caption
from bench.tasks import find_task
from sources.captions import concept_lists
from sources.captions.check import CaptionCheck
from sources.captions.options import KINDS
from sources.captions.phrase_lists import read_phrases
from sources.captions.table import caption_rows
from tests.conftest import ROOT, Bench
from tests.support.captions import brief_of, write_block
from tests.support.command_line import refusal

MINI = find_task("mini-aircraft")
CONCEPTS = [
    {"task": "mini-aircraft", "weight": 2},
    {"name": "red fox", "weight": 1},
    {"name": ["oak", "DH-82"], "weight": 1, "list": "flower", "kinds": ["background"]},
]


def concept_file(folder: Path, *entries: Json) -> str:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({"concepts": list(entries or CONCEPTS)}))
    return str(path)


def rows(home: Home, task: Task = MINI, size: int = 40, **more: Any) -> pl.DataFrame:
    small = {"block_size": size, "shard_size": size, "phrases": "mini", "retries": 0}
    return caption_rows(write_block(home, task, **{**small, **more}))


def close(count: int, share: float, trials: int) -> bool:
    """Whether a count is within four standard deviations of a binomial."""
    return abs(count - share * trials) < 4 * math.sqrt(share * (1 - share) * trials)


# Stage and rows of 60 captions, written before there were kinds and concepts to choose. They change
# only with the phrases: what was made before is then made again.
@pytest.mark.parametrize(
    ("task", "phrases", "seed", "stage", "content"),
    [
        ("mini-aircraft", "mini", 0, "captions-21db3d66ce8a", "cfa857d4ae64"),
        ("mini-aircraft", "mini", 1, "captions-41d4b8c9fa65", "082c32de5ac2"),
        ("flowers", "paper", 0, "captions-018babcedac9", "80b391dbd769"),
        ("flowers", "paper", 1, "captions-c07647d37bd0", "5b5695833983"),
    ],
)
def test_captions_of_the_defaults_stay_as_they_were(
    home: Home, task: str, phrases: str, seed: int, stage: str, content: str
) -> None:
    default: Json = {"kinds": dict(reversed(KINDS.items())), "concepts": None}
    for given in ({}, default):
        block = write_block(
            home, find_task(task), seed=seed, phrases=phrases, block_size=60, **given
        )
        assert block.key == stage
        assert digest(caption_rows(block).to_dicts()) == content


def test_a_run_with_the_defaults_stays_the_same_run() -> None:
    filled = full_options(sources, "synthetic", NEEDED)
    assert not {"kinds", "concepts"} & set(filled["captions"])
    chosen: Json = {"kinds": {"class": 1.0}, "concepts": "synclr"}
    more: Json = {**NEEDED, "captions": chosen}
    assert full_options(sources, "synthetic", more)["captions"].items() >= chosen.items()


NEEDED = {"generation": {"model": "x"}, "filter": {"model": "clip"}}


def test_kinds_have_the_shares_asked_for(home: Home) -> None:
    found = rows(home, size=2000, kinds={"relation": 0.75, "class": 0.25})["kind"]
    assert set(found) == {"relation", "class"}
    assert close(Counter(found)["relation"], 0.75, 2000)


def test_a_concept_that_is_a_class_has_its_label_and_any_other_none(
    home: Home, tmp_path: Path
) -> None:
    found = rows(home, size=2000, concepts=concept_file(tmp_path))
    for row in found.iter_rows(named=True):
        assert row["class_name"] in row["caption"]
        label = MINI.label(row["class_name"])
        assert row["label"] == (NO_LABEL if label is None else label)
        if row["class_name"] == "oak":
            assert row["kind"] == "background"
            assert row["background"] in read_phrases("mini")["backgrounds"]["flower"]
    counts = Counter(found["class_name"])
    shares = {"red fox": 1 / 4, "oak": 1 / 8, "747-400": 2 / 4 / 8, "DH-82": 2 / 4 / 8 + 1 / 8}
    assert set(counts) == {*MINI.class_names, "red fox", "oak"}
    assert all(close(counts[name], share, 2000) for name, share in shares.items())


def test_a_class_is_known_in_any_case(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "concepts.yaml"
    path.write_text(f"concepts: [{{name: {MINI.class_names[0].swapcase()}}}]")
    found = rows(home, size=4, concepts=str(path))
    assert set(found["label"]) == {0}
    assert set(found["class_name"]) == {MINI.class_names[0]}


def test_a_further_attempt_keeps_the_concept_and_the_kind(home: Home, tmp_path: Path) -> None:
    how: Any = {"concepts": concept_file(tmp_path), "size": 100}
    first, again = rows(home, **how), rows(home, **how, retries=3)
    assert (again["attempt"] > 0).any()
    columns = ["key", "label", "class_name", "kind"]
    assert first.select(columns).equals(again.select(columns))


def test_a_caption_must_name_its_concept(home: Home, tmp_path: Path) -> None:
    brief = brief_of(home, MINI, phrases="mini", concepts=concept_file(tmp_path))
    faults = CaptionCheck(MINI, brief.concepts).faults(
        [
            Caption(NO_LABEL, "class", "a Red  Fox in snow", concept="red fox"),
            Caption(NO_LABEL, "class", "a fox in snow", concept="red fox"),
            Caption(MINI.label("DH-82") or 0, "class", "an oak, a DH-82", concept="DH-82"),
            Caption(NO_LABEL, "own", "anything goes"),
            Caption(NO_LABEL, "own", "two\nlines"),
        ]
    )
    assert faults == [None, "class unnamed", None, None, "not one printable line"]


def test_synclrs_concepts_have_its_shares(home: Home) -> None:
    task = find_task("cars")
    brief = brief_of(home, task, phrases="synclr", concepts="synclr")
    ends = [0.0, *brief.weights]
    total = brief.weights[-1]
    shares: dict[str, float] = defaultdict(float)
    for concept, start, end in zip(brief.concepts, ends, brief.weights, strict=False):
        of = "labelled" if concept.label != NO_LABEL else concept.noun
        shares[of] += (end - start) / total
        assert (concept.kinds == ("class",)) == (concept.noun in ("scene", "texture"))
    # SynCLR, code, synthesize_text.py:32-51, 130-149; ImageNet-1k has ImageNet-21k's share.
    expected = {
        "labelled": 0.91 * 0.06, "aircraft": 0.91 * 0.06, "food": 0.91 * 0.05,
        "flower": 0.91 * 0.03, "object": 0.91 * (0.504 + 0.296), "scene": 0.088, "texture": 0.002,
    }  # fmt: skip
    assert total == pytest.approx(1)
    assert shares == pytest.approx(expected, abs=1e-4)
    assert len(brief.concepts) == 1000 + 100 + 196 + 101 + 102 + 397 + 47
    found = rows(home, task, size=300, phrases="synclr", concepts="synclr")
    assert set(found.filter(pl.col("label") >= 0)["class_name"]) <= set(task.class_names)
    assert 0 < (found["label"] >= 0).sum() < 60


def test_the_lists_of_phrases_have_what_their_docs_say() -> None:
    paper, synclr, places = map(read_phrases, ("paper", "synclr", "places"))
    assert synclr["backgrounds"].items() >= paper["backgrounds"].items()
    assert synclr["class"] == paper["class"]
    for noun in ("food", "pet", "bird"):
        assert len(set(synclr["backgrounds"][noun])) >= 80
    assert set(places["backgrounds"]) == {"object"}
    assert len(set(places["backgrounds"]["object"])) == 155


def test_a_list_of_phrases_may_be_like_another(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("like: synclr\nviews: [upside down]\nbackgrounds: {food: [on fire]}\n")
    own, base = read_phrases(str(path)), read_phrases("synclr")
    assert list(own["views"]) == ["upside down"]
    assert own["backgrounds"] == {**base["backgrounds"], "food": ("on fire",)}
    path.write_text("like: papper\n")
    with pytest.raises(RequestError, match="unknown list of phrases 'papper'; did you mean paper"):
        read_phrases(str(path))


def test_names_stand_side_by_side(home: Home, tmp_path: Path) -> None:
    phrases = tmp_path / "named.yaml"
    phrases.write_text("like: places\nhypernyms: {DH-82: biplane}\n")
    found = rows(home, size=300, writer="names", phrases=str(phrases))
    places = read_phrases("places")["backgrounds"]["object"]
    for row in found.iter_rows(named=True):
        name, hypernym, place = row["caption"].split(", ")
        assert (name, place) == (row["class_name"], row["background"])
        assert hypernym == ("biplane" if name == "DH-82" else "aircraft")
        assert place in places
    assert set(found["class_name"]) == set(MINI.class_names)
    others = rows(
        home,
        size=60,
        writer="names",
        phrases="places",
        concepts=concept_file(tmp_path, {"name": "oak"}, {"task": "mini-aircraft"}),
    )
    assert {NO_LABEL} < set(others["label"])


def test_minimal_pairs_take_every_concept_in_turn(home: Home, tmp_path: Path) -> None:
    concepts = concept_file(tmp_path, {"name": ["oak", "DH-82", "fox"]})
    found = rows(home, size=9, writer="minimal-pairs", concepts=concepts)
    assert found["class_name"].to_list() == ["oak", "DH-82", "fox"] * 3
    assert found["label"].to_list() == [NO_LABEL, MINI.label("DH-82"), NO_LABEL] * 3


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["kinds={class: 0.5, relation: 0.4}"], "the shares sum to 0.9, not to 1"),
        (["kinds={clas: 1}"], "unknown kind 'clas'; did you mean class?"),
        (["kinds={class: 2, relation: -1}"], "relation is -1"),
        (["kinds={}"], "the shares sum to 0, not to 1"),
        (["kinds.class=.nan"], "which is not a finite number"),
        (["concepts=sinclr"], "unknown list of concepts 'sinclr'; did you mean synclr?"),
        (["concepts=/no/such.yaml"], "cannot read /no/such.yaml: No such file or directory"),
        (["concepts=synclr", "kinds.background=1"], "which source.captions.kinds leaves out"),
        (["writer=minimal-pairs", "concepts=synclr"], "takes every concept in turn"),
        (["writer=minimal-pairs", "kinds.class=1"], "kinds means nothing to the writer minimal-"),
        (["writer=names", "kinds.class=1"], "kinds means nothing to the writer names"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(
    bench: Bench, home: Home, settings: list[str], complaint: str
) -> None:
    given = [f"captions.{setting}" for setting in settings]
    assert complaint in refusal(bench, home, "synthetic", *given)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("concepts: []", "concepts"),
        ("concept: [{name: a}]", "unknown setting of .* 'concept'; did you mean concepts"),
        ("concepts: [rose]", r"concepts\[0\] is not a mapping"),
        ("concepts: [{name: a, weights: 1}]", "unknown setting .* 'weights'; did you mean weight"),
        ("concepts: [{name: a, weight: 0}]", "weight"),
        ("concepts: [{name: a, weight: -1}]", "weight"),
        ("concepts: [{weight: 1}]", "both or neither of name and task"),
        ("concepts: [{name: a, task: cars}]", "both or neither of name and task"),
        ("concepts: [{task: carz}]", "unknown task 'carz'; did you mean cars"),
        ("concepts: [{name: []}]", "name"),
        ("concepts: [{name: a, weight: 1.0e+308}, {name: b, weight: 1.0e+308}]", "no finite sum"),
        ("concepts: [{name: ' '}]", "the name '': empty"),
        ('concepts: [{name: "a\\nb"}]', "not one printable line"),
        ('concepts: [{name: "a\\u202Eb"}]', r"the name 'a\\u202eb': not one printable line"),
        ('concepts: [{name: "\\u200B"}]', "not one printable line"),
        ("concepts: [{name: a => b}]", "no caption alone"),
        ("concepts: [{name: a, kinds: [clas]}]", "clas"),
        ("concepts: [{name: a, list: flowers}]", "'flowers'; did you mean flower"),
        ("concepts: [{name: '?'}]", "letter"),
        (f"concepts: [{{name: {'a' * 201}}}]", "name"),
        ("concepts: [{name: a, task: " + "[" * 3000 + "}]", "is not YAML"),
    ],
)
def test_unfit_concepts_are_refused(
    home: Home, tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(RequestError, match=complaint):
        rows(home, concepts=str(path))


def test_a_concept_without_letters_is_refused_before_any_work(
    bench: Bench, home: Home, tmp_path: Path
) -> None:
    path = concept_file(tmp_path, {"name": "?"})
    assert "no letter or digit" in refusal(bench, home, "synthetic", f"captions.concepts={path}")


def test_a_task_that_a_list_names_often_is_read_once(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def counted(name: str) -> Task:
        asked.append(name)
        return find_task(name)

    monkeypatch.setattr(concept_lists, "find_task", counted)
    entries = [{"task": "mini-cars", "weight": weight} for weight in range(1, 30)]
    assert len(concept_lists.read_concepts(concept_file(tmp_path, *entries))) == 29 * 8
    assert asked == ["mini-cars"]


TABLE_2 = re.findall(
    r"^\| ([^|]+) \| (`writer=[^|]+) \|", (ROOT / "docs/synthetic.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize(("name", "settings"), TABLE_2, ids=[name for name, _ in TABLE_2])
def test_each_caption_set_of_synclrs_table_is_to_be_had(
    home: Home, tmp_path: Path, name: str, settings: str
) -> None:
    """With the grammar in a language model's place, which writes of the same plans."""
    (tmp_path / "cc.csv").write_text("caption\na cat\na house by the sea\n")
    captions: Json = {}
    for setting in re.findall(r"`([^`]+)`", settings):
        path, value = parse_assignment(setting.replace("=FILE", f"={tmp_path / 'cc.csv'}"))
        assign(captions, path.split("."), value)
    is_model = captions["writer"] == "transformers"
    assert full_options(sources, "synthetic", {**NEEDED, "captions": captions})
    if is_model:
        captions |= {"writer": "grammar", "options": {}}
    found = rows(home, **{"size": 200, "phrases": "paper", **captions})
    backgrounds, labels = set(found["background"]), set(found["label"])
    assert ({NO_LABEL} <= labels) == (name in ("cc12m", "final"))
    assert (len(labels) > 1) == (name != "cc12m")
    only = {"cc12m": {"own"}, "IN+h+Places": {"names"}, "final": set(KINDS)}
    assert set(found["kind"]) == only.get(name, {"background"})
    if "Places" in name:
        assert backgrounds <= set(read_phrases("places")["backgrounds"]["object"])


def test_the_docs_have_all_five_caption_sets() -> None:
    names = ["cc12m", "IN+h+Places", "IN+Places+LLM", "IN+OurBG+LLM", "final"]
    assert [name for name, _ in TABLE_2] == names
