"""Denoised images: those of another source, sampled again from noise of a given strength."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.planning.preset import resolve
from bench.plugins import source_of
from bench.storage.image_set import ImageSet
from tests.conftest import Bench, Outcome
from tests.support.source_options import options_of
from tests.support.tiny_generation import World, pixels

INNER = {"real": {"images": {"size": 32, "suffix": ".png"}}}


def settings_of(world: World, **more: Any) -> Json:
    given = {"steps": 10, "of": "real", "options": INNER, "strength": 0.5, **more}
    return world.settings(source="denoised", **given)


def denoised(world: World, n: int | None = None, **more: Any) -> ImageSet:
    return source_of("denoised", settings_of(world, **more)).collect(world.context(n))


def real(world: World) -> ImageSet:
    return source_of("real", INNER["real"]).collect(world.context(None))


def test_each_image_is_denoised_from_its_own_noise(world: World, tmp_path: Path) -> None:
    how: Any = {"size": 10, "template": "a photo of a {}"}
    after = denoised(world, **how)
    rows = after.index()
    assert rows.height == rows["seed"].n_unique() == 10
    assert set(rows["origin"]) == {"denoised"}
    begun = rows.join(real(world).index(), on="key", how="left")
    assert begun["label"].equals(begun["label_right"])
    assert rows["caption"].to_list() == [f"a photo of a {name}" for name in rows["class_name"]]
    other = world.elsewhere(tmp_path / "other")
    again = denoised(other, **how, batch_size=3, shard_size=7)
    first, second = pixels(world, after), pixels(other, again)
    assert max(abs(first[key] - second[key]).max() for key in first) <= 1


def test_another_seed_of_the_source_is_other_images(world: World) -> None:
    for make in (world.collect, lambda **more: denoised(world, size=5, **more)):
        one, other = (make(seed=seed).index() for seed in (0, 1))
        assert set(one["sha256"]).isdisjoint(other["sha256"])
        assert set(one["seed"]).isdisjoint(other["seed"])


def test_a_part_of_the_images_is_a_part_of_the_larger_part(world: World) -> None:
    few, many = (set(denoised(world, size=size).index()["key"]) for size in (5, 12))
    assert len(few) == 5
    assert few < many < set(real(world).index()["key"])


def test_as_many_images_are_denoised_as_the_run_needs(world: World) -> None:
    images = denoised(world, n=7)
    assert len(images) == images.manifest.stage_counts["matched"] == 7
    scores = denoised(world, rule="class-threshold", tau=-1).index()["clip_score"]
    fewer = denoised(world, n=7, rule="class-threshold", tau=scores.median())
    assert len(fewer) >= 7
    assert fewer.manifest.stage_counts["filtered"] > 0
    assert 7 < fewer.manifest.stage_counts["matched"] <= 24
    with pytest.raises(RequestError, match="25 images asked for, but the source 'real' has 24"):
        denoised(world, n=25)


def test_a_size_below_n_is_refused_before_any_work(world: World) -> None:
    with pytest.raises(RequestError, match=r"7 images are .* source.size=6 makes fewer"):
        denoised(world, n=7, size=6)
    assert not world.home.root.exists()


def test_a_source_without_end_is_asked_for_what_is_needed(world: World) -> None:
    inner = {"synthetic": world.settings()}
    images = denoised(world, of="synthetic", options=inner, size=20)
    assert len(images) >= 20
    assert images.manifest.stage_counts["synthetic"]["kept"] >= 20


def test_a_template_may_hold_other_braces(world: World) -> None:
    rows = denoised(world, size=3, template="{} {x}").index()
    assert rows["caption"].to_list() == [f"{name} {{x}}" for name in rows["class_name"]]


def test_less_noise_changes_less(world: World, tmp_path: Path) -> None:
    def change(strength: float) -> float:
        images = denoised(
            world, steps=20, strength=strength, size=6, generation__model="stable-diffusion"
        )
        before, after = pixels(world, real(world)), pixels(world, images)
        return float(np.mean([abs(before[key] - after[key]).mean() for key in after]))

    assert change(0.1) < change(0.9)


def test_captions_are_prompts_where_images_have_them(world: World) -> None:
    with pytest.raises(RequestError, match="images of the source 'real' have no captions"):
        denoised(world, prompt="caption")
    inner = {"synthetic": world.settings(size=6)}
    how = {"of": "synthetic", "options": inner, "prompt": "caption", "strength": 0.6, "steps": 2}
    images = denoised(world, 6, **how).index()
    both = images.join(world.collect(n=6, size=6).index(), on="key")
    assert both.height == images.height > 0
    for column in ("caption", "caption_id", "copy", "pair"):
        assert both[column].equals(both[f"{column}_right"])


def test_the_inner_source_has_the_presets_options() -> None:
    settings = ["source.of=synthetic", "source.options.synthetic.size=64"]
    spec = resolve("mini", task="aircraft", source="denoised", n=5, settings=settings)
    assert spec.options["options"]["synthetic"]["size"] == 64
    assert spec.options["options"]["synthetic"]["generation"]["model"] == "stable-diffusion"


def run(bench: Bench, preset: Path, task: Path, settings: Json, mode: str) -> Outcome:
    words = ["--source", "denoised", "--preset", str(preset), "--task", str(task), "--n", "12"]
    given = (f"--set=source.{name}={value}" for name, value in settings.items())
    return bench("run", *words, mode, *given)


def test_a_dry_run_counts_the_steps(
    bench: Bench, world: World, preset: Path, colours: Path
) -> None:
    settings = settings_of(world, steps=50, strength=0.1)
    plan = run(bench, preset, colours, settings, "--dry-run").json
    estimate = plan["estimate"]
    assert (estimate["images"], estimate["forwards"]) == (12, 12 * 5 * 2)
    assert "real" not in estimate
    assert plan["spec"]["options"]["options"]["real"]["images"]["size"] == 32


def test_the_record_of_a_run(bench: Bench, world: World, preset: Path, colours: Path) -> None:
    done = run(bench, preset, colours, settings_of(world, strength=0.3), "--json")
    assert done.code == 0, done.err
    counts = done.json["stage_counts"]
    assert done.json["n"]["used"] == 12 <= counts["kept"]
    assert counts["matched"] <= counts["real"]["kept"] == 24
    assert {"generator", "filter_model"} < set(done.json["spec"]["fingerprints"])


def test_an_image_of_another_shape_is_made_square(world: World, tmp_path: Path) -> None:
    for label, name in enumerate(("red", "green", "blue")):
        (tmp_path / "own" / name).mkdir(parents=True)
        for index in range(3):
            noise = np.random.default_rng(10 * label + index).integers(0, 255, (24, 60, 3))
            Image.fromarray(noise.astype(np.uint8)).save(tmp_path / "own" / name / f"{index}.png")
    inner = options_of(
        "folder",
        path=str(tmp_path / "own"),
        filter__model=str(world.clip),
        images__size=32,
        suffix=".png",
    )
    rows = denoised(world, of="folder", options={"folder": inner}).index()
    assert set(rows.select("width", "height").iter_rows()) == {(32, 32)}
    assert rows.group_by("label").agg(pl.len()).height == 3
