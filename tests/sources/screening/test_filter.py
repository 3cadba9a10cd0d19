"""Score and filter: what a score is, which images a rule keeps, what a user may ask for."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from adapt.models import ClipEmbedder, load_clip
from bench.core.arrays import FloatArray
from bench.core.errors import BenchError
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.task import Task
from bench.planning.preset import resolve
from bench.plugins import full_options, sources
from bench.plugins.source import Context, Embedder
from bench.storage.image_codec import encode
from bench.storage.stage import Stage
from bench.storage.tar_shards import ShardWriter
from sources.screening.embed import embed, embeddings
from sources.screening.filter import domain_scored, scored
from sources.screening.phash import HASH_SCHEMA, looks
from sources.screening.rules import ClassThreshold, Rule, Threshold, TopFraction
from tests.conftest import Bench
from tests.support import contexts
from tests.support.command_line import refusal
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
    return replace(contexts.context(home, task), embedder=lambda _: embedder)


def packed(home: Home) -> tuple[Stage, pl.DataFrame]:
    """Return a stage of 12 images in two shards, one of them broken, and the labels."""
    stage = Stage(home.data, "download", {})
    keys = [f"k{index:02d}" for index in range(12)]

    def make(shard: int, folder: Path) -> None:
        rows = []
        with ShardWriter(folder / "images.tar") as writer:
            for index in range(6 * shard, 6 * shard + 6):
                content = encode(square(index % len(COLOURS), index), ".png")
                content = content[:50] if index == 4 else content
                rows.append({"key": keys[index], **writer.add(keys[index], content, ".png")})
        pl.DataFrame(rows).write_parquet(folder / "index.parquet")

    stage.run(2, make)
    return stage, pl.DataFrame({"key": keys, "label": [i % len(COLOURS) for i in range(12)]})


RULES: tuple[type[Rule], ...] = (Threshold, ClassThreshold, TopFraction)


def test_every_image_is_embedded_once_for_any_comparison(home: Home, embedder: Counting) -> None:
    stage, labels = packed(home)
    for task in (TASK, msgspec.structs.replace(TASK, domain_texts=("a photo of a circle",))):
        for rule in RULES:
            embedded = embed(stage, "clip", context(home, embedder, task))
            scored([embedded], rule(model="clip"), context(home, embedder, task), labels)
    assert embedder.seen == 11
    (description,) = home.data.glob("embed-*")
    found = [embeddings(shard) for shard in sorted(description.glob("0*"))]
    assert [len(rows) for rows, _ in found] == [5, 6]
    for rows, images in found:
        assert isinstance(images, np.memmap)
        assert (images.shape, images.dtype) == ((len(rows), embedder.dim), np.float16)


def test_what_is_noted_of_an_image_is_its_own(home: Home, embedder: Counting) -> None:
    stage, _ = packed(home)
    embedded = embed(stage, "clip", context(home, embedder))
    pictures = {f"k{i:02d}": square(i % len(COLOURS), i) for i in range(12) if i != 4}
    seen = []
    for shard in embedded.shards():
        rows, vectors = embeddings(shard)
        for row, vector in zip(rows.iter_rows(named=True), vectors, strict=True):
            picture = pictures[row["key"]]
            expected = embedder.inner.images([picture])[0]
            np.testing.assert_allclose(vector, expected, atol=1e-3)
            assert (row["width"], row["height"]) == picture.size
            assert [row[name] for name in HASH_SCHEMA] == looks(picture)
            seen.append(row["key"])
    assert seen == list(pictures)


def test_a_tar_that_is_cut_off_is_a_clear_error(home: Home, embedder: Counting) -> None:
    stage, _ = packed(home)
    tar = stage.shard(1) / "images.tar"
    with tar.open("r+b") as stream:
        stream.truncate(700)
    with pytest.raises(BenchError, match="truncated"):
        embed(stage, "clip", context(home, embedder))


def test_one_weights_file_with_two_configurations_is_two_models(home: Home, tmp_path: Path) -> None:
    stage, _ = packed(home)
    folder = write_tiny_clip(tmp_path / "clip")

    def fresh() -> FloatArray:
        embedded = embed(stage, str(folder), contexts.context(home, TASK))
        return np.concatenate([embeddings(shard)[1] for shard in embedded.shards()])

    before = fresh()
    config = folder / "open_clip_config.json"
    content = json.loads(config.read_text())
    content["model_cfg"]["quick_gelu"] = True
    config.write_text(json.dumps(content))
    assert not np.array_equal(before, fresh())


def test_a_score_is_a_cosine_with_domain_texts_or_the_class(home: Home, embedder: Counting) -> None:
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


tables = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([-0.5, 0.1, 0.2, 0.3, 0.9])), max_size=30
)


def as_rows(table: Sequence[tuple[int, float]]) -> pl.DataFrame:
    rows = [(f"{index:02d}", *row) for index, row in enumerate(table)]
    schema = {"key": pl.String, "label": pl.Int64, "clip_score": pl.Float32}
    return pl.DataFrame(rows, schema=schema, orient="row")


@given(tables, st.sampled_from([Threshold, ClassThreshold]), st.sampled_from([-1.0, 0.15, 1.0]))
def test_a_threshold_keeps_the_rest(table: list[tuple[int, float]], rule: Any, tau: float) -> None:
    kept = rule(model="clip", tau=tau).passes(as_rows(table))
    assert kept.to_list() == [score > tau for _, score in table]


@given(tables, st.sampled_from([0.01, 0.3, 0.5, 1.0]), st.integers(1, 12))
def test_the_best_of_each_class(table: list[tuple[int, float]], fraction: float, cap: int) -> None:
    rows = as_rows(table)
    kept = TopFraction(model="clip", fraction=fraction, cap=cap).passes(rows)
    for label in range(3):
        own = rows.filter(pl.col("label") == label)
        best = own.filter(kept.filter(rows["label"] == label))
        assert best.height == min(int(np.ceil(fraction * own.height)), cap)
        rest = own.join(best, on="key", how="anti")
        if best.height and rest.height:
            assert best["clip_score"].min() >= rest["clip_score"].max()  # type: ignore[operator]


def full(**settings: Any) -> Json:
    """Return the filter of a retrieval with every default filled in."""
    given = options_of("retrieved", pool="p", filter__model="m", **settings)
    found = full_options(sources, "retrieved", given)
    assert full_options(sources, "retrieved", found) == found
    return dict(found["filter"])


def test_a_spec_holds_the_settings_of_the_chosen_rule_alone() -> None:
    every: Json = {"model": "m", "drop_train_copies": False}
    assert full() == {"rule": "threshold", "tau": 0.2, **every}
    by_class = {"rule": "class-threshold", "tau": 0.3}
    assert full(**by_class) == {**every, **by_class}
    assert full(rule="top-fraction", cap=5) == {
        "rule": "top-fraction", "fraction": 0.3, "cap": 5, **every,
    }  # fmt: skip


def test_the_preset_leaves_the_rule_open() -> None:
    def of(preset: str, *chosen: str) -> Any:
        spec = resolve(preset, task="aircraft", source="retrieved", n=1, settings=chosen)
        return spec.options["filter"]

    assert of("paper")["tau"] == 0.2
    assert of("paper", "source.filter.rule=top-fraction")["fraction"] == 0.3
    chosen = ("source.filter.rule=top-fraction", "source.filter.tau=null")
    assert of("mini", *chosen)["cap"] == 10_000


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("filter.rule=top-fraction", "set it to null if the preset gives it"),
        ("tau=0.3", "source retrieved 'tau'; did you mean filter.tau?"),
        ("image_size=64", "source retrieved 'image_size'; did you mean images.size?"),
        ("download.suffix=.png", "'suffix'; did you mean images.suffix?"),
        ("download.image_size=64", "'image_size'; did you mean images.size?"),
    ],
)
def test_a_wrong_setting_ends_the_command(bench: Bench, home: Home, setting: str, why: str) -> None:
    assert refusal(bench, home, "retrieved", setting).endswith(why)
    assert not home.data.exists()
