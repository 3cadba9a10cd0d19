"""Captions: their kinds, their shares, their check, and that nothing changes when work is cut."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.task import Query, Task
from bench.plugins.captions import Caption
from bench.plugins.registry import load_plugin
from bench.storage.stage import Stage
from bench.tasks import find_task
from sources.captions.article import with_article
from sources.captions.check import MAX_LENGTH, CaptionCheck
from sources.captions.concept_lists import classes_of
from sources.captions.options import KINDS
from sources.captions.phrase_lists import read_phrases
from sources.captions.prompts import example_lines
from sources.captions.table import COPY, caption_counts, caption_rows
from tests.conftest import Bench
from tests.support.captions import write_block
from tests.support.command_line import refusal
from tests.support.pools import flowers

MINI = find_task("mini-aircraft")
FLOWERS = find_task("flowers")


def checked(task: Task) -> CaptionCheck:
    return CaptionCheck(task, classes_of(task))


def written(home: Home, task: Task = MINI, **more: Any) -> Stage:
    small = {"block_size": 40, "shard_size": 40, "phrases": "mini"}
    return write_block(home, task, **{**small, **more})


def rows(home: Home, *args: Any, **more: Any) -> Any:
    return caption_rows(written(home, *args, **more))


def test_captions_say_what_was_asked_for_and_keep_the_shares_of_their_kinds(home: Home) -> None:
    found = rows(home, block_size=4000, shard_size=1500, phrases="paper")
    assert found["key"].n_unique() == found["seed"].n_unique() == found.height == 4000
    relations = read_phrases("paper")["relations"]
    for row in found.iter_rows(named=True):
        assert row["class_name"] in row["caption"]
        assert MINI.class_names[row["label"]] == row["class_name"]
        assert row["writer"] == "grammar"
        assert (row["relation"] in relations) == (row["kind"] == "relation")
        assert (row["background"] is not None) == (row["kind"] == "background")
        assert (row["relation"] or row["background"] or "") in row["caption"]
    for kind, share in KINDS.items():
        # Four standard deviations of a binomial of 4000 trials.
        assert abs((found["kind"] == kind).mean() - share) < 4 * (share * (1 - share) / 4000) ** 0.5
    assert found.group_by("label").len()["len"].min() > 400


def test_a_caption_depends_on_its_key_and_seed_and_on_those_before_it(home: Home) -> None:
    few, many = rows(home, block_size=10), rows(home, block_size=200)
    assert many[:10].equals(few)
    assert not rows(home, block_size=10, seed=1)["caption"].equals(few["caption"])
    first = written(home, block_size=10)
    second = rows(home, earlier=[first], block_size=10)
    assert set(second["key"]).isdisjoint(few["key"])
    assert set(second["caption"]).isdisjoint(few["caption"])


@pytest.mark.parametrize("size", [7, 64])
def test_shards_of_any_size_hold_the_same_captions(home: Home, tmp_path: Path, size: int) -> None:
    whole = rows(home, block_size=64)
    assert rows(Home(tmp_path / "other"), block_size=64, shard_size=size).equals(whole)


def test_every_task_has_phrases_and_any_other_general_ones(home: Home, colours: Path) -> None:
    backgrounds = read_phrases("paper")["backgrounds"]
    for noun in ("aircraft", "car", "flower", "object"):
        assert len(set(backgrounds[noun])) >= 80
    for task in map(find_task, ("aircraft", "cars", "flowers", str(colours))):
        used = rows(home, task, phrases="paper", block_size=300)["background"].drop_nulls()
        assert set(used) <= set(backgrounds[task.noun])
        assert used.n_unique() > 50


def test_the_examples_are_many_and_about_no_class_of_a_task() -> None:
    lines = example_lines()
    for kind, least in (("class", 50), ("relation", 20), ("background", 50)):
        assert len(lines[kind]) >= least
    texts = [line for kind in lines.values() for line in kind]
    assert len(set(texts)) == len(texts)
    said = [line.partition("=>")[2] for line in texts]
    for name in ("aircraft", "cars", "flowers", "mini-aircraft", "mini-cars", "mini-flowers"):
        task = find_task(name)
        about = [Caption(label, "class", t) for label in range(len(task.class_names)) for t in said]
        assert all(checked(task).faults(about)), name


@pytest.mark.parametrize(
    ("name", "spoken"),
    [
        ("rose", "a rose"), ("azalea", "an azalea"), ("A330-200 aircraft", "an A330-200 aircraft"),
        ("MD-80", "an MD-80"), ("F-16A/B", "an F-16A/B"), ("BMW M3", "a BMW M3"),
        ("Audi A5", "an Audi A5"), ("Eurofighter Typhoon", "a Eurofighter Typhoon"),
        ("747-400", "a 747-400"), ("Cessna 172", "a Cessna 172"), ("DH-82", "a DH-82"),
    ],
)  # fmt: skip
def test_the_article_is_the_one_that_is_spoken(name: str, spoken: str) -> None:
    assert with_article(name) == spoken


def test_copies_are_generated_anew_across_shards_and_blocks(home: Home) -> None:
    options: Any = {"block_size": 300, "shard_size": 70, "phrases": "paper"}
    first = written(home, FLOWERS, **options)
    second = written(home, FLOWERS, earlier=[first], **options)
    found = pl.concat([caption_rows(first), caption_rows(second)])
    assert found["caption"].is_unique().all()
    again = found.filter(pl.col("attempt") > 0)
    assert again.height > 0
    assert set(again["refused"].explode()) == {COPY}
    assert (again["refused"].list.len() == again["attempt"]).all()
    # The first to say something keeps it, and another attempt keeps class and kind.
    both = caption_rows(first).join(rows(home, FLOWERS, **options, retries=0), on="key")
    for column in ("label", "kind"):
        assert both[column].equals(both[f"{column}_right"])
    kept = both.filter(pl.col("attempt") == 0)
    assert kept["caption"].equals(kept["caption_right"])


def test_copies_that_cannot_be_helped_are_kept_and_counted(home: Home, tmp_path: Path) -> None:
    few = {
        "class": ["{name}"], "relation": ["{name} {relation} a {thing}"],
        "background": ["{name} {background}"], "relations": ["on"], "qualities": ["q"],
        "views": ["v"], "things": {"object": ["box"]}, "backgrounds": {"object": ["outside"]},
    }  # fmt: skip
    path = tmp_path / "few.yaml"
    path.write_text(yaml.safe_dump(few))
    stage = written(home, phrases=str(path), block_size=100, retries=2)
    counts, found = caption_counts([stage]).values(), caption_rows(stage)
    assert found.height == sum(kind["asked"] for kind in counts) == 100
    different = found["caption"].n_unique()
    assert different <= 3 * len(MINI.class_names)
    assert sum(kind["copies kept"] for kind in counts) == 100 - different
    # Each copy was written anew twice, in vain.
    assert sum(kind["refused"][COPY] for kind in counts) == 2 * (100 - different)


FORD = flowers("Ford Ka 2009", "b", **{"Ford Ka 2009": Query(any=("Ford Ka",), with_=("car",))})


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("rose", "a rose in the rain", None),
        ("rose", "a Rosé by the fence", None),  # Folded, as retrieval folds.
        ("rose", "roses are red", "class unnamed"),
        ("rose", "a tulip in the rain", "class unnamed"),
        ("globe-flower", "one globeflower", None),
        ("colt's foot", "the colt\N{RIGHT SINGLE QUOTATION MARK}s foot in gravel", None),
        ("rose", "", "empty"),
        ("rose", " \t", "empty"),
        ("rose", "a rose\nred", "not one printable line"),
        ("rose", "a rose\x1b[31m", "not one printable line"),
        ("rose", "rose " * 100, "too long"),
        ("rose", "rose, in the rain => a wet rose", "no caption alone"),
        # A query does not replace the class name.
        ("Ford Ka 2009", "a ford ka on a hill", None),
        ("Ford Ka 2009", "a ford on a hill, ka", "class unnamed"),
    ],
)
def test_what_a_caption_must_be(name: str, text: str, fault: str | None) -> None:
    task = FORD if name in FORD.class_names else FLOWERS
    caption = Caption(task.class_names.index(name), "class", text)
    assert checked(task).faults([caption]) == [fault]


@given(st.lists(st.text(max_size=320), max_size=40))
@settings(max_examples=40, deadline=None)
def test_a_caption_that_passes_is_fit_for_anything(texts: list[str]) -> None:
    faults = checked(flowers("a", "b")).faults([Caption(0, "class", text) for text in texts])
    for text in (text for text, fault in zip(texts, faults, strict=True) if fault is None):
        assert 0 < len(text) <= MAX_LENGTH
        assert len(text.splitlines()) == 1
        assert text.isprintable()
        assert "=>" not in text
        text.encode()


def test_minimal_pairs_differ_in_the_class_alone(home: Home) -> None:
    classes = len(MINI.class_names)
    stages: list[Stage] = []
    for _ in range(3):
        stages.append(written(home, earlier=stages, writer="minimal-pairs", block_size=50))
    found = pl.concat(map(caption_rows, stages))
    for row in found.iter_rows(named=True):
        assert row["caption"].count(row["class_name"]) == 1
        assert row["caption"] == row["pair"].replace("{}", row["class_name"])
    # A pair is all rounds of a template: with every class, once before any comes again.
    turns = found["pair"].rle().struct.field("value").to_list()
    assert len(set(turns[:10])) == 10
    assert turns[10:] == turns[: len(turns) - 10] != []
    rounds = found.head(10 * classes).group_by("pair").agg(pl.col("label").n_unique(), pl.len())
    assert rounds["label"].to_list() == rounds["len"].to_list() == [classes] * 10
    assert found["attempt"].sum() == 0
    assert caption_counts(stages)["minimal-pair"]["copies kept"] == 150 - 10 * classes


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("writer=grammars", "unknown writer 'grammars'; did you mean grammar?"),
        ("options.model=x", "unknown setting of the writer grammar 'model'"),
        ("phrases=paprs", "unknown list of phrases 'paprs'; did you mean paper?"),
        ("retries=-1", "the source synthetic: captions.retries: expected"),
        ("options=3", "options: expected `object`, got `int`"),
    ],
)
def test_a_wrong_option_is_refused(bench: Bench, home: Home, setting: str, complaint: str) -> None:
    assert complaint in refusal(bench, home, "synthetic", f"captions.{setting}")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"class": ["a photo"]}, "'a photo' cannot be filled in"),
        *(
            ({"class": [template]}, "cannot be filled in")
            for template in (
                "{name.__class__}", "{name!r:>{view}} {0}", "{name", "{name:d}", "{name!z}",
                "{name:99999999}",
            )
        ),
        ({"relation": ["{name} {background}"]}, "cannot be filled in"),
        ({"relations": []}, "relations"),
        ({"things": {"car": ["wall"]}}, "things has no list for object"),
        ({"colours": ["red"]}, "unknown setting"),
    ],
)  # fmt: skip
def test_unfit_phrases_are_refused(tmp_path: Path, change: Json, complaint: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**read_phrases("mini"), **change}))
    with pytest.raises(RequestError, match=complaint):
        read_phrases(str(path))


def test_the_writers_are_listed_and_shown(bench: Bench) -> None:
    names = [line.split()[0] for line in bench("list", "writers").out.splitlines()]
    assert names == ["file", "grammar", "minimal-pairs", "names", "openai", "transformers"]
    assert "\n  temperature = 0.8  (number above 0)\n" in bench("show", "openai").out


OUTSIDE = """
from bench.plugins import Caption, Config, writers


@writers.register("shouting")
class Shouting:
    fixed = False

    class Options(Config, frozen=True, kw_only=True):
        mark: str = "!"

    def __init__(self, options):
        self.mark = options.mark

    def config(self, home):
        return {"mark": self.mark}

    def write(self, orders, brief):
        name = brief.task.class_names[0]
        return [Caption(0, "shout", f"{name} {order.number}{self.mark}") for order in orders]
"""


def test_a_writer_of_one_s_own_needs_one_class(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "shouting.py"
    path.write_text(OUTSIDE)
    load_plugin(path)
    how: Any = {"writer": "shouting", "options": {"mark": "?"}, "block_size": 3}
    second = rows(home, earlier=[written(home, **how)], **how)
    name = MINI.class_names[0]
    assert second["caption"].to_list() == [f"{name} {number}?" for number in (3, 4, 5)]
