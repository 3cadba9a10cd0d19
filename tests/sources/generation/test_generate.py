"""Generated images: one seed each, in any batch, on any shard, by any worker, whatever happens."""

from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import BenchError, RequestError
from sources.generation.generate import image_rows
from sources.generation.oom import Halving
from sources.generation.sampler import Item
from sources.generation.shard import MAX_ATTEMPTS, attempt_seed
from tests.conftest import Bench
from tests.support.tiny_clip import colour_task
from tests.support.tiny_generation import BLOCK, FAMILIES, World, pixels, sampler
from tests.support.tiny_pipelines import (
    HUNGRY_BATCH,
    FlakyVAE,
    HungryUNet,
    change_weights,
    forced,
    with_part,
    write_pipeline,
)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++"])
def test_an_image_depends_on_its_seed_alone(world: World, tmp_path: Path, scheduler: str) -> None:
    how: dict[str, Any] = {"scheduler": scheduler, "steps": 3}
    whole = pixels(world, world.collect(**how))
    other = world.elsewhere(tmp_path / "other")
    parts = pixels(other, other.collect(batch_size=3, generation__shard_size=5, **how))
    assert whole.keys() == parts.keys()
    # Batches of another size round otherwise, by one grey level at most.
    assert max(abs(whole[key] - parts[key]).max() for key in whole) <= 1
    keys = sorted(whole)
    assert abs(whole[keys[0]] - whole[keys[1]]).mean() > 1


def generated(world: World, row: dict[str, Any], attempt: int = 0, **more: Any) -> Any:
    """Return the pixels of one attempt at an image, made without the others."""
    able = sampler(world, **more)
    item = Item(row["caption"], attempt_seed(row["seed"], attempt))
    return (able.finish(able.denoise([item]))[0] * 255).round().astype(int)


def test_an_image_can_be_made_again_alone(world: World) -> None:
    images = world.collect()
    row = images.index().row(3, named=True)
    assert abs(generated(world, row) - pixels(world, images)[row["key"]]).max() <= 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("strength", [None, 0.9])
def test_any_pipeline_generates_by_seed(world: World, family: str, strength: float | None) -> None:
    from PIL import Image

    able = sampler(world, strength, generator=family, pipeline="auto")
    start = Image.new("RGB", (48, 20), "red") if strength else None
    items = [Item("a photo of a C-130", seed, start) for seed in (1, 2, 3)]
    together = able.finish(able.denoise(items))
    alone = able.finish(able.denoise(items[1:2]))
    assert [frame.shape for frame in together] == [(32, 32, 3)] * 3
    assert abs(together[1] - alone[0]).max() < 1 / 255
    assert abs(together[0] - together[1]).mean() > 0.01


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++"])
def test_a_sampler_that_does_not_fit_is_refused(world: World, scheduler: str) -> None:
    with pytest.raises(RequestError, match=r"does not fit .*FlowMatch.*scheduler=pipeline"):
        sampler(world, generator="flux", pipeline="auto", scheduler=scheduler)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++"])
def test_a_strength_is_a_share_of_the_noise_with_any_sampler(world: World, scheduler: str) -> None:
    able = sampler(world, 0.3, scheduler=scheduler, steps=20)
    able.pipeline.scheduler.set_timesteps(20)
    first = int(able.pipeline.scheduler.timesteps[20 - 6])
    assert 230 < first < 330


@pytest.mark.parametrize("family", ["sd", *FAMILIES])
def test_a_caption_is_embedded_once_however_many_images_it_gets(world: World, family: str) -> None:
    auto = "stable-diffusion" if family == "sd" else "auto"
    able = sampler(world, generator=family, pipeline=auto, guidance=1.0)
    embedded = 0

    def count(_: object, given: tuple[Any, ...]) -> None:
        nonlocal embedded
        embedded += len(given[0])

    able.pipeline.text_encoder.register_forward_pre_hook(count)
    # Batches of four: the second goes on with the first caption.
    captions = ["a C-130"] * 5 + ["a MD-80"] * 3
    able.denoise([Item(caption, seed) for seed, caption in enumerate(captions)])
    assert embedded == 2


def test_more_images_of_a_caption_change_none(world: World) -> None:
    one = world.collect()
    four = world.collect(images_per_caption=4, n=4 * BLOCK - 8)
    assert set(one.index()["sha256"]) <= set(four.index()["sha256"])
    rows = four.index()
    assert rows.height > 3 * BLOCK
    by_caption = rows.group_by("caption_id")
    groups = by_caption.agg(pl.len(), pl.col("caption", "seed", "sha256").n_unique())
    for each in groups.iter_rows(named=True):
        assert (each["caption"], each["seed"], each["sha256"]) == (1, each["len"], each["len"])
    # A subset holds whole captions, the last one apart.
    subset = four.select(10, 0, "random").group_by("caption_id").len()
    whole = dict(by_caption.len().iter_rows())
    assert sum(whole[caption] != size for caption, size in subset.iter_rows()) <= 1


@given(st.integers(1, 6), st.lists(st.integers(0, 2**59), min_size=1, max_size=20, unique=True))
def test_every_image_has_its_own_key_and_seed(per_caption: int, seeds: list[int]) -> None:
    rows = [(f"b00000-{at:06d}", seed, 0, f"caption {at}") for at, seed in enumerate(seeds)]
    schema = {"key": pl.String, "seed": int, "label": int, "caption": pl.String}
    captions = pl.DataFrame(rows, schema=schema, orient="row")
    all_, fewer = (image_rows(captions, times, shared=True) for times in (per_caption, 1))
    assert all_["key"].n_unique() == all_["seed"].n_unique() == per_caption * len(seeds)
    assert all_.filter(pl.col("key") == pl.col("caption_id")).equals(fewer)
    assert all_.group_by("caption_id").agg("copy")["copy"].to_list() == [
        list(range(per_caption))
    ] * len(seeds)


def test_an_image_says_which_of_its_caption_it_is(world: World) -> None:
    rows = world.collect(images_per_caption=3, n=2 * BLOCK).index()
    ends = rows["key"].str.extract(r"-(\d)$").cast(pl.Int64).fill_null(0)
    assert rows["copy"].equals(ends.alias("copy"))
    # A caption that comes round again goes on counting, in the order of its keys.
    again = world.collect(writer="minimal-pairs", images_per_caption=2, n=8 * BLOCK).index()
    counted = again.sort("key").group_by("caption_id", maintain_order=True).agg("copy")["copy"]
    assert max(map(len, counted)) > 2
    assert all(copies.to_list() == sorted(set(copies)) for copies in counted)


def test_equal_captions_of_a_fixed_writer_are_one(world: World) -> None:
    # Ten templates for three classes: blocks four and five begin again.
    rows = world.collect(writer="minimal-pairs", n=5 * BLOCK - 4).index()
    once = rows.group_by("label", "caption").agg(pl.len(), pl.col("caption_id").n_unique())
    assert once["caption_id"].to_list() == [1] * once.height
    assert rows.height > once.height
    assert rows["caption_id"].n_unique() == once.height
    pairs = rows.group_by("pair").agg(pl.struct("label", "caption").n_unique())
    assert sorted(pairs["label"].to_list(), reverse=True) == [3] * 10


def test_captions_take_turns_whole_in_balanced_order(world: World) -> None:
    selected = world.collect(images_per_caption=4, n=3 * BLOCK).select(None, 0, "balanced")
    turns = selected["caption_id"].rle().struct.field("value")
    assert turns.n_unique() == turns.len()
    labels = selected.unique("caption_id", maintain_order=True)["label"]
    assert sorted(labels[:3]) == [0, 1, 2]


def test_more_generated_images_change_none(world: World) -> None:
    few = world.collect().index()
    many = world.collect(size=10).index()
    assert many.height >= 10 > few.height
    assert set(few["sha256"]) <= set(many["sha256"])


def outcomes_of(world: World) -> pl.DataFrame:
    return pl.concat(map(pl.read_parquet, world.home.data.glob("generate-*/*/index.parquet")))


def test_bad_frames_are_tried_again_and_counted(world: World, tmp_path: Path) -> None:
    flaky = str(with_part(write_pipeline("sd", tmp_path / "flaky"), "vae", FlakyVAE))
    images = world.collect(generator=flaky, block_size=40, generation__shard_size=20, n=9)
    counts, classes = images.manifest.stage_counts, images.manifest.stage_counts["classes"]
    bad = counts["failed attempts"]
    assert min(bad.values()) > 0
    for kind, times in bad.items():
        assert sum(found["failed attempts"].get(kind, 0) for found in classes.values()) == times
    failed = sum(counts["failed"].values())
    assert counts["fetched"] + failed == counts["matched"] == 40
    # Every failed attempt led to another, but the last of those that failed.
    outcomes = outcomes_of(world)
    assert outcomes["attempts"].sum() == 40 + sum(bad.values()) - failed
    assert set(outcomes["attempts"]) <= set(range(1, MAX_ATTEMPTS + 1))
    assert outcomes.filter(pl.col("offset").is_null())["failure"].null_count() == 0
    # A second attempt is the image of the next seed.
    row = images.index().join(outcomes.filter(attempts=2), on="key", how="semi").row(0, named=True)
    again = generated(world, row, attempt=1, generator=flaky)
    assert abs(again - pixels(world, images)[row["key"]]).max() <= 1


def test_a_generator_that_generates_nothing_ends_the_run(world: World, tmp_path: Path) -> None:
    folder = write_pipeline("sd", tmp_path / "broken")
    name = "decoder.conv_out.weight"
    change_weights(folder / "vae", lambda old: old | {name: old[name] * float("nan")})
    with pytest.raises(BenchError, match=r"none of 8 images is left: 0 could be generated"):
        world.collect(generator=str(folder))


def test_no_memory_halves_the_batch_and_changes_no_image(world: World, tmp_path: Path) -> None:
    plain = write_pipeline("sd", tmp_path / "plain")
    hungry = with_part(write_pipeline("sd", tmp_path / "hungry"), "unet", HungryUNet)
    expected = pixels(world, world.collect(generator=str(plain), batch_size=4))
    images = world.collect(generator=str(hungry), batch_size=16, generation__shard_size=8)
    assert images.manifest.stage_counts["batch halved"] == 1
    found = pixels(world, images)
    assert found.keys() == expected.keys()
    assert max(abs(found[key] - expected[key]).max() for key in found) <= 1
    assert images.manifest.stage_counts["matched"] == BLOCK > HUNGRY_BATCH // 2


@given(st.integers(0, 40), st.integers(1, 40), st.integers(1, 64))
def test_halving_does_every_item_once_in_order(items: int, fits: int, batch: int) -> None:
    import torch

    def work(part: Any) -> list[int]:
        if len(part) > fits:
            raise torch.OutOfMemoryError
        return list(part)

    halving = Halving(batch)
    assert [item for part in halving(work, range(items)) for item in part] == list(range(items))


@pytest.mark.parametrize(
    "said",
    [
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_what_libraries_say_of_a_want_of_memory_halves_the_batch(said: str) -> None:
    def work(part: Any) -> int:
        if len(part) > 4:
            raise RuntimeError(said)
        return len(part)

    halving = Halving(8)
    assert halving(work, range(8)) == [4, 4]
    assert halving.times == 1


def test_another_error_is_no_want_of_memory() -> None:
    def work(_: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        Halving(8)(work, range(8))


def test_memory_for_not_even_one_image_is_an_error_that_says_so() -> None:
    def work(_: Any) -> None:
        raise MemoryError

    with pytest.raises(BenchError, match="not enough memory to generate a single image"):
        Halving(8)(work, range(8))


@pytest.mark.parametrize(
    ("policy", "threshold", "flagged"), [("off", -2, 0), ("flag", -2, 8), ("drop", 2, 0)]
)
def test_an_image_that_the_policy_lets_pass_is_kept_and_flagged(
    world: World, tmp_path: Path, policy: str, threshold: float, flagged: int
) -> None:
    folder = forced(write_pipeline("checked", tmp_path / "checked"), threshold)
    images = world.collect(generator=str(folder), safety=policy)
    assert images.manifest.options["generation"]["safety"] == policy
    assert len(images) == 8
    counts = images.manifest.stage_counts
    assert (counts["flagged"], counts["failed"]) == (flagged, {})
    assert min(array.std() for array in pixels(world, images).values()) > 1


def test_unsafe_images_are_dropped_and_counted(world: World, tmp_path: Path) -> None:
    folder = forced(write_pipeline("checked", tmp_path / "strict"), -2)
    with pytest.raises(BenchError, match="none of 8 images is left"):
        world.collect(generator=str(folder), safety="drop")
    assert outcomes_of(world).select("failure", "attempts").rows() == [("unsafe", 1)] * 8


def test_captions_that_are_cut_are_counted(world: World) -> None:
    long = " ".join(["very"] * 20)
    names = ("red", "green", f"{long} blue")
    task = msgspec.structs.replace(colour_task(), class_names=names)
    counts = world.collect(task=task, phrases="mini").manifest.stage_counts
    classes = counts["classes"]
    assert counts["captions truncated"] == sum(found["truncated"] for found in classes.values())
    assert classes[names[2]]["truncated"] == classes[names[2]]["matched"] > 0


def test_the_rules_for_retrieved_images_are_there_and_off(world: World) -> None:
    everything = world.collect()
    assert everything.manifest.options["filter"]["rule"] == "none"
    assert everything.manifest.stage_counts["filtered"] == 0
    assert everything.index()["clip_score"].null_count() == 0
    half = world.collect(rule="top-fraction", fraction=0.5, n=1)
    assert 0 < half.manifest.stage_counts["kept"] < everything.manifest.stage_counts["kept"]
    assert half.manifest.options["filter"]["fraction"] == 0.5
    assert (half.folder / "scores.parquet").is_file()
    with pytest.raises(BenchError, match="none of 8 images is left: 8 could be generated"):
        world.collect(rule="threshold", tau=1.0)


def test_more_blocks_are_generated_for_what_the_filter_takes(world: World) -> None:
    all_scores = world.collect(rule="class-threshold", tau=-1, n=10).index()["clip_score"]
    images = world.collect(rule="class-threshold", tau=all_scores.median(), n=10)
    assert len(images) >= 10
    counts = images.manifest.stage_counts
    assert counts["filtered"] > 0
    assert counts["matched"] > 2 * BLOCK


def test_a_dry_run_tells_the_cost_alone(bench: Bench, world: World, preset: Path) -> None:
    settings = (f"--set=source.{name}={value}" for name, value in world.settings().items())
    words = ("--preset", str(preset), "--task", "aircraft", "--n", "20", "--dry-run", *settings)
    estimate = bench("run", "--source", "synthetic", *words).json["estimate"]
    # Three blocks of eight; two steps, each with and without the caption.
    assert (estimate["images"], estimate["forwards"]) == (24, 24 * 2 * 2)
    seconds = 24 * estimate["seconds per image"]
    assert estimate["hours"] * 3600 == pytest.approx(seconds, abs=0.5)
    assert 24 * 500 < estimate["bytes"] < 24 * 5000
    assert not world.home.root.exists()
