"""Objectives on the same images: what each is compared with, and how it is shown."""

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.specs import TrainSpec
from results.objectives import Objectives, Row, objectives
from results.report.page import write_report
from results.statistics.paired import compare, holm
from results.summary import summary
from results.tables.objectives import narrow, sheet
from tests.conftest import Bench
from tests.support.records import CLASSES, IMAGES, collected, score, write_run

LABELS = np.arange(IMAGES) % CLASSES


def trained(
    home: Home, objective: str, *right: int, switches: Json | None = None, **more: Any
) -> None:
    """Leave a run a seed on 128 images of 32 captions; each gets so many test images right."""
    usual: dict[str, Any] = {"used": 128, "captions": 32}
    for seed, count in enumerate(right):
        write_run(
            home, "synthetic", 128, count, seed=seed, objective=objective,
            objective_options=switches or {}, **usual | more,
        )  # fmt: skip


def found(home: Home) -> dict[tuple[str, str], Row]:
    with collected(home) as connection:
        (table,) = objectives(connection)
    return {(row.objective, row.images.label): row for row in table.rows}


def tables(home: Home) -> list[Objectives]:
    with collected(home) as connection:
        return list(objectives(connection))


def answers(*right: int) -> np.ndarray:
    """Return what `write_run` answered, float64 ``[images, runs]``."""
    return np.stack([np.arange(IMAGES) < count for count in right], axis=1).astype(float)


def test_objectives_are_compared_with_cross_entropy_on_the_same_images(home: Home) -> None:
    write_run(home, "none", 0, 60)
    trained(home, "ce", 100, 104, 99)
    trained(home, "simclr", 90, 91, 84, positives="image")
    trained(home, "synclr", 120, 111, 118, switches={"ibot": True}, positives="caption")
    trained(home, "synclr", 101, 99, 104, switches={"ibot": False}, positives="caption")
    rows = found(home)
    ce, simclr = (100, 104, 99), (90, 91, 84)
    assert list(rows) == [
        ("", "none"), ("ce", "synthetic"), ("simclr", "synthetic"),
        ("synclr ibot=false", "synthetic"), ("synclr ibot=true", "synthetic"),
    ]  # fmt: skip
    assert [row.reference for row in rows.values()] == ["", "unadapted", "ce", "ce", "ce"]
    assert [row.same_images for row in rows.values()] == [False, False, True, True, True]
    assert [row.positives for row in rows.values()] == ["", "", "image", "caption", "caption"]
    one = rows["simclr", "synthetic"].difference
    assert one is not None
    expected = compare(answers(*simclr), answers(*ce), LABELS, "accuracy")
    assert astuple(one.estimate) == pytest.approx(astuple(expected))
    assert one.estimate.over_seeds
    known = [row.difference for row in rows.values() if row.difference]
    assert [each.p_holm for each in known] == holm([each.estimate.p for each in known])
    assert len(known) == 4


def test_what_all_rows_share_is_said_once(home: Home) -> None:
    write_run(home, "none", 0, 60)
    trained(home, "ce", 100, 104)
    trained(home, "synclr", 120, 111, switches={"ibot": True, "hidden": 64}, positives="caption")
    trained(home, "synclr", 101, 99, switches={"ibot": False, "hidden": 64}, positives="caption")
    (table,) = tables(home)
    shown = sheet(table)
    assert table.alike
    assert "same images: synthetic, n = 128 of 32 captions." in shown.note
    assert shown.head == [
        "objective", "options", "positives", "seeds", "%", "±", "95 % interval", "less", "Δ",
        "95 % interval of Δ", "p",
    ]  # fmt: skip
    assert [row[:3] for row in shown.rows] == [
        ["unadapted", "", ""], ["ce", "", ""],
        ["synclr", "ibot=false", "caption"], ["synclr", "ibot=true", "caption"],
    ]  # fmt: skip
    assert shown.rows[0][4] == "30.0"
    assert [row[7:9] for row in shown.rows[1:]] == [
        ["unadapted", "+21.00"], ["ce", "\N{MINUS SIGN}1.00"], ["ce", "+6.75"],
    ]  # fmt: skip


def test_rows_of_other_images_say_so(home: Home) -> None:
    four: Json = {"options": {"images_per_caption": 4}, "image_set": "four"}
    one: Json = {"options": {"images_per_caption": 1}, "image_set": "one", "captions": 128}
    trained(home, "ce", 100, **four)
    trained(home, "stablerep", 110, **four)
    trained(home, "stablerep", 90, **one)
    rows = found(home)
    own = rows["stablerep", "synthetic images_per_caption=4"]
    other = rows["stablerep", "synthetic images_per_caption=1"]
    assert (own.reference, own.same_images) == ("ce", True)
    assert (other.reference, other.same_images) == ("ce", False)
    (table,) = tables(home)
    shown = sheet(table)
    assert not table.alike
    assert "Images differ between rows." in shown.note
    lines = [dict(zip(shown.head, row, strict=True)) for row in shown.rows]
    assert [(line["images"], line["captions"], line["less"]) for line in lines] == [
        ("synthetic images_per_caption=1", "128", "ce on other images"),
        ("synthetic images_per_caption=4", "32", ""),
        ("synthetic images_per_caption=4", "32", "ce"),
    ]


def test_rows_of_which_validation_kept_the_unadapted_model_say_so(home: Home) -> None:
    trained(home, "ce", 100, 104)
    trained(home, "simclr", 60, 60, trained=40)
    (table,) = tables(home)
    shown = sheet(table)
    lines = [dict(zip(shown.head, row, strict=True)) for row in shown.rows]
    assert [(line["%"], line["best trained"]) for line in lines] == [("51.0", ""), ("30.0", "20.0")]
    assert "kept the unadapted network in 2 of 4 runs" in shown.note


def test_another_tau_under_one_name_makes_other_images(home: Home) -> None:
    trained(home, "ce", 100, 101, image_set="tau-0.2")
    trained(home, "simclr", 90, 91, image_set="tau-0.3")
    assert not found(home)["simclr", "synthetic"].same_images


def test_other_batches_of_the_same_images_are_the_same_images(home: Home) -> None:
    scenes = TrainSpec(lr=1e-5, adjacent="pair")
    trained(home, "ce", 100)
    trained(home, "stablerep", 110)
    trained(home, "stablerep", 90, train=scenes)
    # Another arm's cross-entropy, which is not what the scenes' row is compared with.
    trained(home, "ce", 99, options={"images_per_caption": 2}, image_set="two")
    rows = found(home)
    one = rows["stablerep", "synthetic adjacent=pair images_per_caption=1"]
    assert (one.reference, one.same_images) == ("ce", True)
    assert one.difference is not None
    assert one.difference.estimate.value == pytest.approx((90 - 100) / IMAGES)


def test_a_table_of_other_batches_does_not_say_that_images_differ(home: Home) -> None:
    trained(home, "ce", 100)
    trained(home, "stablerep", 110)
    trained(home, "stablerep", 90, train=TrainSpec(lr=1e-5, adjacent="pair"))
    (table,) = tables(home)
    shown = sheet(table)
    assert "All learned from the same images, in other batches" in shown.note
    assert "differ" not in shown.note
    place = shown.head.index("images")
    assert [row[place] for row in shown.rows] == [
        "synthetic", "synthetic", "synthetic adjacent=pair",
    ]  # fmt: skip


def test_another_order_takes_other_images_of_a_set(home: Home) -> None:
    trained(home, "ce", 100, order="balanced")
    trained(home, "simclr", 90)
    assert not found(home)["simclr", "synthetic random"].same_images


def test_each_evaluator_has_its_own_metric(home: Home) -> None:
    def scores(probe: float, segments: float) -> dict[str, Any]:
        both = ("linear-probe", probe, "accuracy"), ("segmentation", segments, "miou")
        return {
            "scores": [
                score(split, value, name, metric)
                for name, value, metric in both
                for split in ("val", "test")
            ]
        }

    trained(home, "ce", 100, **scores(0.5, 0.21))
    trained(home, "simclr", 100, **scores(0.4, 0.32))
    probe, segments = tables(home)
    assert [(one.evaluator, one.metric) for one in (probe, segments)] == [
        ("linear-probe", "accuracy"), ("segmentation", "miou"),
    ]  # fmt: skip
    assert [row[-1] for row in (row[:3] for row in sheet(segments).rows)] == ["21.0", "32.0"]


def test_on_paper_differences_are_a_table_of_their_own_where_one_is_too_wide(home: Home) -> None:
    """TeX would put them beyond the edge of the page."""
    trained(home, "ce", 100, 104)
    trained(home, "simclr", 90, 91)
    (table,) = tables(home)
    assert list(narrow(table)) == [sheet(table)]
    few: Json = {"options": {"images_per_caption": 4}, "image_set": "few"}
    trained(home, "stablerep", 90, 91, positives="caption", **few)
    (table,) = tables(home)
    scores, differences = narrow(table)
    assert scores.head == ["objective", "positives", "images", "seeds", "%", "±", "95 % interval"]
    assert differences.head == ["objective", "images", "less", "Δ", "95 % interval of Δ", "p"]
    images = "synthetic images_per_caption=4, n = 128 of 32 captions"
    assert scores.rows[-1][:5] == ["stablerep", "caption", images, "2", "45.2"]
    assert differences.rows[-1][:4] == [
        "stablerep",
        images,
        "ce on other images",
        "\N{MINUS SIGN}5.8",
    ]
    assert scores.label != differences.label
    assert "Holm" not in scores.note
    assert "Holm-corrected" in differences.note


def test_miniature_results_say_so(home: Home) -> None:
    trained(home, "ce", 100)
    trained(home, "simclr", 90)
    (table,) = tables(home)
    assert "not comparable with published numbers" in sheet(table).note


def test_one_objective_is_no_table(home: Home) -> None:
    write_run(home, "none", 0, 60)
    trained(home, "ce", 100)
    assert tables(home) == []


@pytest.fixture
def several(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    write_run(home, "none", 0, 60)
    trained(home, "ce", 100, 104, 99)
    trained(home, "simclr", 90, 91, 84, positives="image")
    monkeypatch.setenv("BENCH_HOME", str(home.root))
    return home


def test_the_table_can_be_had_in_every_format(several: Home, bench: Bench, tmp_path: Path) -> None:
    for form in ("csv", "md", "latex", "parquet"):
        out = tmp_path / form
        assert (
            bench("export", "--table", "objectives", "--format", form, "--out", str(out)).code == 0
        )
    numbers = pd.read_csv(tmp_path / "csv", keep_default_na=False)
    assert numbers["objective"].tolist() == ["", "ce", "simclr"]
    assert numbers["less"].tolist() == ["", "unadapted", "ce"]
    assert numbers["less_on_same_images"].tolist() == [False, False, True]
    assert numbers["captions_min"].tolist()[1:] == ["32.0", "32.0"]
    assert len(pd.read_parquet(tmp_path / "parquet")) == 3
    assert "| simclr | image | 3 |" in (tmp_path / "md").read_text()
    assert "simclr & image & 3 &" in (tmp_path / "latex").read_text()


def test_page_and_terminal_have_the_table(several: Home, tmp_path: Path) -> None:
    page = write_report(several, tmp_path).html.read_text()
    assert page.count("objectives by linear-probe accuracy</h3>") == 1
    # Arms are compared with the unadapted model alone, so the page begins with the objectives.
    assert "<h1>Objectives beside each other</h1>" in page
    assert page.index('id="objectives"') < page.index('id="summary"')
    text = summary(several)
    assert "objectives by linear-probe accuracy" in text
    line = next(line for line in text.splitlines() if line.startswith("simclr"))
    assert line.split()[:3] == ["simclr", "image", "3"]


def test_a_page_of_arms_and_objectives_begins_with_the_arms(several: Home, tmp_path: Path) -> None:
    write_run(several, "retrieved", 128, 100, used=128)
    page = write_report(several, tmp_path).html.read_text()
    assert "<h1>Retrieved or generated?</h1>" in page
    assert page.index('id="summary"') < page.index('id="objectives"')
    assert 'href="#objectives"' in page


def test_without_several_objectives_the_export_says_so(
    home: Home, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(home.root))
    trained(home, "ce", 100)
    refused = bench("export", "--table", "objectives", "--out", "-")
    assert refused.code == 1
    assert "several objectives" in refused.err


def test_all_rows_can_be_compared_with_one_of_them(
    home: Home, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(home.root))
    write_run(home, "none", 0, 60)
    off, on = (90, 91, 84), (120, 111, 118)
    trained(home, "synclr", *off, switches={"ema": False, "ibot": False}, positives="caption")
    trained(home, "synclr", *on, switches={"ema": True, "ibot": False}, positives="caption")
    with collected(home) as connection:
        (table,) = objectives(connection, less="ema=false")
    unadapted, first, second = table.rows
    assert (first.reference, first.difference) == ("", None)
    assert second.reference == unadapted.reference == first.name == "synclr ema=false synthetic"
    assert second.difference is not None
    expected = compare(answers(*on), answers(*off), LABELS, "accuracy")
    assert astuple(second.difference.estimate) == pytest.approx(astuple(expected))

    def export(*words: str) -> str:
        return bench("export", "--format", "md", "--out", "-", *words).err

    assert not export("--table", "objectives", "--less", "ema=true synthetic")
    several = export("--table", "objectives", "--less", "synclr")
    assert "2 rows are called 'synclr'" in several
    assert "synclr ema=true synthetic; give more words" in several
    assert "no row is called 'ema=maybe'" in export("--table", "objectives", "--less", "ema=maybe")
    assert "add --table objectives" in export("--less", "ema=true")


def test_a_row_can_be_named_whose_name_is_a_part_of_another_one(home: Home) -> None:
    write_run(home, "none", 0, 60)
    adjacent = TrainSpec(adjacent="pair")
    trained(home, "stablerep", 110, 104, 99, train=adjacent, positives="caption")
    trained(home, "stablerep", 90, 91, 84, positives="caption")
    trained(home, "supcon", 100, 101, 94, positives="class")
    with collected(home) as connection:
        (table,) = objectives(connection, less="synthetic stablerep")
        with pytest.raises(RequestError, match="2 rows are called 'stablerep'"):
            list(objectives(connection, less="stablerep"))
    less = {row.name: row.reference for row in table.rows}
    assert less.pop("stablerep synthetic") == ""
    assert set(less.values()) == {"stablerep synthetic"}
    assert "stablerep synthetic adjacent=pair" in less


def test_rows_of_the_same_images_stand_together_and_numbers_by_their_size(home: Home) -> None:
    for k in (16, 2, 4):
        arm: Json = {"options": {"images_per_caption": k}, "image_set": f"{k}"}
        trained(home, "stablerep", 100, switches={"per_group": k}, **arm)
    four: Json = {"options": {"images_per_caption": 4}, "image_set": "4"}
    trained(
        home, "stablerep", 90, switches={"per_group": 4}, train=TrainSpec(adjacent="pair"), **four
    )
    trained(home, "ce", 110, **four)
    trained(home, "supcon", 105, **four)
    (table,) = tables(home)
    assert [row.name for row in table.rows] == [
        "stablerep per_group=2 synthetic images_per_caption=2",
        "ce synthetic images_per_caption=4",
        "stablerep per_group=4 synthetic images_per_caption=4",
        "stablerep per_group=4 synthetic adjacent=pair images_per_caption=4",
        "supcon synthetic images_per_caption=4",
        "stablerep per_group=16 synthetic images_per_caption=16",
    ]


def test_a_row_can_be_named_that_differs_from_another_in_n_alone(home: Home) -> None:
    write_run(home, "none", 0, 60)
    trained(home, "stablerep", 100, 101, 94)
    for seed, count in enumerate((110, 104, 99)):
        write_run(home, "synthetic", 2560, count, seed=seed, objective="stablerep", used=2560)
    trained(home, "supcon", 90, 91, 84)
    with collected(home) as connection:
        with pytest.raises(RequestError, match=r"synthetic n=128; stablerep synthetic n=2\.56k"):
            list(objectives(connection, less="stablerep"))
        (table,) = objectives(connection, less="stablerep n=2.56k")
    less = {row.name: row.reference for row in table.rows}
    larger = "stablerep synthetic n=2.56k"
    assert less.pop(larger) == ""
    assert less == dict.fromkeys(
        ["unadapted", "stablerep synthetic n=128", "supcon synthetic"], larger
    )
