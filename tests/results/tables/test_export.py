"""Every result as one file."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from msgspec.structs import replace

from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from bench.core.records import Score, WhichClasses
from results.report.page import write_report
from results.tables import export
from results.tables.sheet import label
from tests.conftest import Bench
from tests.support.records import collected, score, write_run


def test_exports_show_the_best_trained_epoch_and_the_last(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 1_000, right=150)  # Of an earlier version.
    write_run(home, "synthetic", 1_000, right=100, trained=70)
    for format_ in ("csv", "md", "latex"):
        export(home, format_, tmp_path / format_)
    synthetic = pl.read_csv(tmp_path / "csv").row(1, named=True)
    means = [synthetic[name] for name in ("mean", "trained_mean", "last_mean")]
    assert means == [0.5, 0.35, 0.35]
    table = (tmp_path / "md").read_text()
    assert "accuracy, best trained epoch | linear-probe accuracy, last epoch |" in table
    assert "| 50.0 [43.0, 57.0] | 35.0 | 35.0 |" in table
    assert "| 75.0 [68.0, 82.0] |  |  |" in table
    text = (tmp_path / "latex").read_text()
    assert "synthetic & 1k & 50.0 & 35.0 & 35.0 \\\\" in text


def test_the_unadapted_model_has_no_other_epochs(home: Home, tmp_path: Path) -> None:
    write_run(home, "none", 0, right=140, trained=140)
    write_run(home, "synthetic", 1_000, right=100, trained=70)
    for format_ in ("md", "latex"):
        export(home, format_, tmp_path / format_)
    assert "| unadapted | 0 | 1 | 70.0 [63.0, 77.0] |  |  |" in (tmp_path / "md").read_text()
    assert (tmp_path / "latex").read_text().count("unadapted & 0 ") == 1


def test_many_pairs_are_listed_at_the_largest_n_alone(home: Home, tmp_path: Path) -> None:
    for at, n in product(range(6), (100, 200, 400)):
        if (at, n) == (5, 400):  # Its images end at 200.
            continue
        write_run(home, "folder", n, right=90 + at, options={"path": f"/data/arm{at}"})
    export(home, "latex", tmp_path / "latex")
    text = (tmp_path / "latex").read_text()
    assert re.findall(r"^folder arm0 less folder arm1 & (\S+)", text, re.MULTILINE) == ["400"]
    assert text.count(" less folder ") == 15
    assert re.findall(r"^folder arm0 less folder arm5 & (\S+)", text, re.MULTILINE) == ["200"]
    assert "of two arms, the Δ at the largest n" in text.replace("$\\Delta$", "Δ")


def apart(seen: float, unseen: float) -> list[Score]:
    """Return scores of an accuracy apart, of 150 and of 50 images."""
    parts: list[tuple[WhichClasses, float, int]] = [("seen", seen, 150), ("unseen", unseen, 50)]
    return [replace(score("test", value), classes=name, n=n) for name, value, n in parts]


def test_scores_of_classes_seen_and_unseen_are_a_table_and_change_no_other(
    home: Home, tmp_path: Path
) -> None:
    def exported(table: str) -> str:
        export(home, "md", tmp_path / "table", table=table)
        return (tmp_path / "table").read_text()

    write_run(home, "retrieved", 1_000, right=100)
    with pytest.raises(BenchError, match="every finished run had images of all classes"):
        exported("classes")
    before = exported("main")
    for seed, (empty, scores) in enumerate(((["<b>", "b"], (0.6, 0.2)), (["a"], (0.7, 0.3)))):
        parts = apart(*scores)
        write_run(home, "retrieved", 400, seed=seed, empty_classes=empty, scores_of_classes=parts)
    row = "| retrieved | 400 | linear-probe | 2 | 1 to 2 | 65.0 | [58.0, 72.0] | 150 | 25.0 |"
    assert row in exported("classes")
    assert exported("classes").count("| retrieved |") == 1
    assert set(before.splitlines()) <= set(exported("main").splitlines())
    with collected(home) as connection:
        rows = connection.execute("SELECT classes, value FROM scores_of_classes ORDER BY ALL")
        assert rows.fetchall() == [("seen", 0.6), ("seen", 0.7), ("unseen", 0.2), ("unseen", 0.3)]
    page = write_report(home, tmp_path / "out").html.read_text()
    assert "Scores of classes seen and unseen in training</summary>" in page


def test_evaluators_of_classes_are_in_the_order_of_other_tables(home: Home, tmp_path: Path) -> None:
    names = ["few-shot-16", "few-shot-2", "zero-shot", "linear-probe"]
    scores = [score("test", 0.5, name) for name in names]
    parts = [replace(each, classes="seen") for each in scores]
    write_run(home, "folder", 400, empty_classes=["a"], scores=scores, scores_of_classes=parts)
    export(home, "csv", tmp_path / "classes", table="classes")
    shown = pd.read_csv(tmp_path / "classes")["evaluator"].tolist()
    assert shown == ["linear-probe", "zero-shot", "few-shot-2", "few-shot-16"]


def test_results_go_to_standard_output(bench_process: Bench, home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 1_000, right=150)
    export(home, "csv", tmp_path / "file.csv")
    shown = bench_process("export", "--out", "-")
    assert shown.out == (tmp_path / "file.csv").read_text()
    assert not (home.root.parent / "-").exists()


def test_no_folder_is_made_for_an_export(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 1_000)
    with pytest.raises(RequestError, match="there is no folder"):
        export(home, "csv", tmp_path / "none" / "x.csv")
    assert not (tmp_path / "none").exists()


def test_names_in_another_alphabet_tell_labels_apart() -> None:
    assert label("\u98de", "zero-shot") != label("\u673a", "zero-shot")
    assert label("mini", "a/b", "\u98de") == "mini-b-U98DE"


def test_exports_read_back(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 1_000, right=150)
    for format_ in ("csv", "parquet", "md", "latex"):
        export(home, format_, tmp_path / format_)
    for format_ in ("md", "latex"):
        assert "generator fidelity: not measured" in (tmp_path / format_).read_text()
    for numbers in (pl.read_csv(tmp_path / "csv"), pl.read_parquet(tmp_path / "parquet")):
        assert numbers["mean"].to_list() == [0.75]
    assert "| retrieved | 1k | 1 | 75.0 [68.0, 82.0] |" in (tmp_path / "md").read_text()
    assert "retrieved & 1k & 1 & 75.0 & {[}68.0, 82.0] \\\\" in (tmp_path / "latex").read_text()


@pytest.mark.parametrize(("format_", "table"), [("cvs", "main"), ("csv", "selections")])
def test_an_unknown_format_or_table_is_refused(
    home: Home, tmp_path: Path, format_: str, table: str
) -> None:
    write_run(home, "retrieved", 1_000)
    with pytest.raises(RequestError, match=r"did you mean (csv|selection)"):
        export(home, format_, tmp_path / "out", table=table)
    assert not list(tmp_path.glob("out*"))


def test_differences_stand_beside_the_means(home: Home, tmp_path: Path) -> None:
    write_run(home, "none", 0, right=80)
    for seed in range(3):
        write_run(home, "retrieved", 1_000, right=120 + 2 * seed, seed=seed)
        write_run(home, "synthetic", 1_000, right=90, seed=seed)
    for format_ in ("csv", "md", "latex"):
        export(home, format_, tmp_path / format_)
    rows = {row["label"]: row for row in pl.read_csv(tmp_path / "csv").to_dicts()}
    assert rows["none"]["less_unadapted"] is None
    for arm, right in (("retrieved", 122), ("synthetic", 90)):
        assert rows[arm]["less_unadapted"] == pytest.approx((right - 80) / 200)
        assert rows[arm]["less_unadapted_low"] < rows[arm]["less_unadapted"]
        assert rows[arm]["less_unadapted_p"] <= rows[arm]["less_unadapted_p_holm"]
    text = (tmp_path / "latex").read_text()
    above, below = text.split("\\midrule")[1:]
    assert "retrieved & 1k & 3 & 61.0 & 1.0 & {[}54.0, 68.0] & +21.0 & {[}+" in above
    assert "retrieved less synthetic & 1k & 3 &  &  &  & +16.0 & {[}+" in below
    assert "\\label{tab:mini-mini-aircraft-mini-clip-ce-linear-probe}" in text
    assert "interval and p are over test images and seeds; p is Holm-corrected" in text
    assert "95~\\% interval over test images" in text
    assert "| linear-probe accuracy | 1k | retrieved less synthetic |" in (
        (tmp_path / "md").read_text()
    )


def test_intervals_over_images_alone_are_marked(home: Home, tmp_path: Path) -> None:
    for seed in range(3):
        write_run(home, "retrieved", 1_000, right=120 + 2 * seed, seed=seed)
        write_run(home, "synthetic", 1_000, right=90, seed=seed)
    export(home, "latex", tmp_path / "latex")
    assert "textdagger" not in (tmp_path / "latex").read_text()
    write_run(home, "retrieved", 2_000, right=130)
    write_run(home, "synthetic", 2_000, right=100)
    export(home, "latex", tmp_path / "latex")
    text = (tmp_path / "latex").read_text()
    (row,) = (line for line in text.splitlines() if "textdagger" in line and "&" in line)
    assert "retrieved less synthetic & 2k & 1 &" in row


def test_what_validation_data_chose_of_is_exported(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 1_000, val=0.5, lr=1e-5)
    write_run(home, "retrieved", 1_000, val=0.6, lr=1e-4)
    for format_ in ("csv", "md", "latex"):
        export(home, format_, tmp_path / format_, table="selection")
    rows = pl.read_csv(tmp_path / "csv").to_dicts()
    assert [(row["setting"], row["is_chosen"]) for row in rows] == [
        ('{"train.lr":0.0001}', True), ('{"train.lr":0.00001}', False),
    ]  # fmt: skip
    assert "| retrieved | all | train.lr=0.0001 | yes | linear-probe | 60.0 | 1 | 1 of 1 |" in (
        (tmp_path / "md").read_text()
    )
    assert "train.lr=1e-05 &  & linear-probe & 50.0 & 1 & 1 of 1" in (
        (tmp_path / "latex").read_text()
    )


def test_what_made_the_runs_is_exported(home: Home, tmp_path: Path) -> None:
    made: dict[str, Any] = {
        "git": {"commit": "a" * 40, "dirty": True}, "device": "GPU_1 & more", "weights": "b" * 64,
        "versions": {"torch": "2.14.1", "numpy": "2.4.6"}, "started": "2026-11-01T10:00:00",
        "finished": "2026-11-02T11:00:00",
    }  # fmt: skip
    write_run(home, "retrieved", 1_000, **made)
    for format_ in ("md", "latex"):
        export(home, format_, tmp_path / format_, table="provenance")
    shown = "numpy 2.4.6, torch 2.14.1 | 2026-11-01 | 2026-11-02 |"
    row = f"| 1 | aaaaaaaaaa+ | GPU_1 & more | bbbbbbbbbbbb | {shown}"
    assert row in (tmp_path / "md").read_text()
    assert r"GPU\_1 \& more" in (tmp_path / "latex").read_text()


def test_any_name_is_one_cell(home: Home, tmp_path: Path) -> None:
    for path in ("/a/50 % <b>|$x_1$ \\&", "/b/two\nlines\x1b[31m"):
        write_run(home, "folder", 1_000, options={"path": path})
    export(home, "md", tmp_path / "md")
    export(home, "latex", tmp_path / "latex")
    rows = (tmp_path / "md").read_text().splitlines()
    assert r"50 % &lt;b>\|$x_1$ \\&" in rows[4]
    assert r"two lines\\x1b[31m |" in rows[5]
    text = (tmp_path / "latex").read_text()
    assert r"50 \% \textless{}b\textgreater{}\textbar{}\$x\_1\$ \textbackslash{}\&" in text
    assert r"two lines\textbackslash{}x1b{[}31m" in text
