"""Score and filter: what a score is, which images a rule keeps, what a user may ask for."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from adapt.models import ClipEmbedder, load_clip
from bench.core.arrays import FloatArray
from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Task
from bench.planning.preset import resolve
from bench.plugins import full_options, sources
from bench.plugins.source import Context, Embedder
from bench.storage.stage import Stage
from bench.storage.tar_shards import ShardWriter, encode
from sources.screening.embed import embed, embeddings
from sources.screening.filter import domain_scored, scored
from sources.screening.rules import ClassThreshold, Rule, Threshold, TopFraction
from tests.conftest import Bench
from tests.support.source_options import options_of
from tests.support.tiny_clip import COLOURS, colour_task, square, write_tiny_clip

TASK = colour_task()


class Counting:
    """An embedder that counts the images it is given."""

    def __init__(self, inner: Embedder) -> None:
        self.inner = inner
        self.weights_hash = inner.weights_hash
        self.dim = inner.dim
        self.seen = 0

    def images(self, images: Iterable[Image.Image]) -> FloatArray:
        found = self.inner.images(images)
        self.seen += len(found)
        return found

    def texts(self, texts: Sequence[str]) -> FloatArray:
        return self.inner.texts(texts)


@pytest.fixture
def embedder(tiny_clip: Path) -> Counting:
    return Counting(ClipEmbedder(load_clip(tiny_clip)))


def context(home: Home, embedder: Counting, task: Task = TASK) -> Context:
    return Context(home, task, None, 0, lambda _: embedder, Progress(quiet=True))


def packed(home: Home) -> tuple[Stage, pl.DataFrame]:
    """Return a stage of 12 images in two shards, one of them broken, and the labels."""
    stage = Stage(home.data, "download", {})

    def make(shard: int, folder: Path) -> None:
        rows = []
        with ShardWriter(folder / "images.tar") as writer:
            for index in range(6 * shard, 6 * shard + 6):
                content = encode(square(index % len(COLOURS), index), ".png")
                content = content[:50] if index == 4 else content
                rows.append(
                    {"key": f"k{index:02d}", **writer.add(f"k{index:02d}", content, ".png")}
                )
        pl.DataFrame(rows).write_parquet(folder / "index.parquet")

    stage.run(2, make)
    labels = [index % len(COLOURS) for index in range(12)]
    return stage, pl.DataFrame({"key": [f"k{index:02d}" for index in range(12)], "label": labels})


RULES: tuple[type[Rule], ...] = (Threshold, ClassThreshold, TopFraction)


# ---------------------------------------------------------------- scores


def test_every_image_is_embedded_once_whatever_it_is_compared_with(
    home: Home, embedder: Counting
) -> None:
    stage, labels = packed(home)
    other = type(TASK)(**{**{n: getattr(TASK, n) for n in TASK.__struct_fields__},
                          "domain_texts": ("a photo of a circle",)})  # fmt: skip
    for task in (TASK, other):
        for rule in RULES:
            embedded = embed(stage, "clip", context(home, embedder, task))
            scored([embedded], rule(model="clip"), context(home, embedder, task), labels)
    assert embedder.seen == 11
    (description,) = home.data.glob("embed-*")
    shards = sorted(description.glob("0*"))
    assert [len(embeddings(shard)[0]) for shard in shards] == [5, 6]
    for shard in shards:
        rows, images = embeddings(shard)
        assert isinstance(images, np.memmap)
        assert (images.shape, images.dtype) == ((len(rows), embedder.dim), np.float16)


def test_one_weights_file_under_two_configurations_is_two_models(
    home: Home, tmp_path: Path
) -> None:
    stage, _ = packed(home)
    folder = write_tiny_clip(tmp_path / "clip")

    def fresh() -> FloatArray:
        given = Context(
            home, TASK, None, 0, lambda _: ClipEmbedder(load_clip(folder)), Progress(quiet=True)
        )
        embedded = embed(stage, str(folder), given)
        return np.concatenate([embeddings(shard)[1] for shard in embedded.shards()])

    before = fresh()
    config = folder / "open_clip_config.json"
    content = json.loads(config.read_text())
    content["model_cfg"]["quick_gelu"] = True
    config.write_text(json.dumps(content))
    assert not np.array_equal(before, fresh())


def test_a_score_is_the_largest_cosine_with_a_domain_text_or_that_with_the_own_class(
    home: Home, embedder: Counting
) -> None:
    stage, labels = packed(home)
    given = context(home, embedder)
    embedded = embed(stage, "clip", given)
    whole = embedder.inner.images(square(i % len(COLOURS), i) for i in range(12) if i != 4)

    domain = domain_scored([embedded], "clip", given)
    expected = (whole @ embedder.texts(list(TASK.domain_texts)).T).max(axis=1)
    assert domain["clip_score"].to_numpy() == pytest.approx(expected, abs=1e-3)
    assert domain["key"].to_list() == [key for key in labels["key"] if key != "k04"]

    own = scored([embedded], ClassThreshold(model="clip"), given, labels)
    for row, image in zip(own.iter_rows(named=True), whole, strict=True):
        prompts = embedder.texts(TASK.prompts(TASK.class_names[row["label"]]))
        mean = prompts.mean(axis=0)
        assert row["clip_score"] == pytest.approx(image @ mean / np.linalg.norm(mean), abs=1e-3)


# ---------------------------------------------------------------- rules


tables = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([-0.5, 0.1, 0.2, 0.3, 0.9])), max_size=30
)


def as_rows(table: Sequence[tuple[int, float]]) -> pl.DataFrame:
    columns = {
        "key": [f"{index:02d}" for index in range(len(table))],
        "label": [label for label, _ in table],
        "clip_score": [score for _, score in table],
    }
    schema = {"key": pl.String, "label": pl.Int64, "clip_score": pl.Float32}
    return pl.DataFrame(columns, schema=schema)


@given(tables, st.sampled_from([Threshold, ClassThreshold]), st.sampled_from([-1.0, 0.15, 1.0]))
def test_a_threshold_keeps_what_is_above_it(
    table: list[tuple[int, float]], rule: Any, tau: float
) -> None:
    kept = rule(model="clip", tau=tau).passes(as_rows(table))
    assert kept.to_list() == [score > tau for _, score in table]


@given(tables, st.sampled_from([0.01, 0.3, 0.5, 1.0]), st.integers(1, 12))
def test_the_top_fraction_keeps_the_best_of_each_class(
    table: list[tuple[int, float]], fraction: float, cap: int
) -> None:
    rows = as_rows(table)
    kept = TopFraction(model="clip", fraction=fraction, cap=cap).passes(rows)
    for label in range(3):
        own = rows.filter(pl.col("label") == label)
        best = own.filter(kept.filter(rows["label"] == label))
        assert best.height == min(int(np.ceil(fraction * own.height)), cap)
        rest = own.join(best, on="key", how="anti")
        if best.height and rest.height:
            assert best["clip_score"].min() >= rest["clip_score"].max()  # type: ignore[operator]


# ---------------------------------------------------------------- options


def full(**settings: Any) -> Json:
    """Return the filter of a retrieval with every default filled in."""
    given = options_of("retrieved", pool="p", filter__model="m", **settings)
    found = full_options(sources, "retrieved", given)
    assert full_options(sources, "retrieved", found) == found
    return dict(found["filter"])


def test_a_spec_holds_the_settings_of_the_chosen_rule_alone() -> None:
    assert full() == {"rule": "threshold", "model": "m", "tau": 0.2}
    by_class = {"rule": "class-threshold", "tau": 0.3}
    assert full(**by_class) == {"model": "m", **by_class}
    assert full(rule="top-fraction", cap=5) == {
        "rule": "top-fraction", "model": "m", "fraction": 0.3, "cap": 5
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"tau": 0.2, "rule": "top-fraction"}, "filter.tau means nothing to rule=top-fraction"),
        ({"cap": 9}, "filter.cap means nothing to rule=threshold; leave it out"),
        ({"fraction": 0.5, "rule": "class-threshold"}, "filter.fraction means nothing"),
        ({"fraction": 0, "rule": "top-fraction"}, "filter.fraction: "),
        ({"cap": 0, "rule": "top-fraction"}, "filter.cap: "),
        ({"rule": "top"}, "filter.rule: .*'top'; .*there are: threshold, class-threshold, top-f"),
        ({"rule": "treshold"}, "did you mean threshold"),
        ({"filter__tao": 0.2}, "unknown setting of filter of .*'tao'; did you mean tau?"),
        ({"filter__qqq": 0.2}, "there are: model, rule, tau"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(RequestError, match=why):
        full(**given)


def test_the_preset_leaves_the_rule_open() -> None:
    def of(preset: str, *settings: str) -> Any:
        spec = resolve(preset, task="aircraft", source="retrieved", n=1, settings=settings)
        return spec.options["filter"]

    assert of("paper")["tau"] == 0.2
    assert of("paper", "source.filter.rule=top-fraction")["fraction"] == 0.3
    chosen = ("source.filter.rule=top-fraction", "source.filter.tau=null")
    assert of("mini", *chosen)["cap"] == 10_000


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("source.filter.rule=top-fraction", "set it to null if the preset gives it"),
        ("source.tau=0.3", "source retrieved 'tau'; did you mean filter.tau?"),
    ],
)
def test_a_wrong_setting_ends_the_command_before_any_work(
    bench: Bench, home: Home, setting: str, why: str
) -> None:
    words = ["run", "--preset", "mini", "--source", "retrieved", "--task", "aircraft", "--set"]
    done = bench(*words, setting)
    assert done.code == 2
    assert done.complaint.endswith(why)
    assert not home.data.exists()
