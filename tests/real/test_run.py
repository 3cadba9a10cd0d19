"""Whole runs on real pictures, as a user starts them: does the harness see what is in them?"""

from pathlib import Path
from typing import Any

from tests.conftest import Bench
from tests.real.pictures import Picture
from tests.real.tasks import GROUPS, write_emoji_task

SPLITS = ("train", "val", "test", "openmoji")


def run(bench: Bench, task: Path, *words: str) -> dict[str, Any]:
    """Return the record of a short run in the miniature preset."""
    outcome = bench("run", "--preset", "mini", "--task", str(task), "--json", *words)
    assert outcome.code == 0, outcome.err
    return outcome.json


def test_a_run_beats_chance_on_other_vendors_emoji_and_reports_it(
    bench_process: Bench, emoji_task: Path, tmp_path: Path
) -> None:
    settings = ("--set", "train.epochs=4", "--set", "evaluators.robustness={}")
    record = run(bench_process, emoji_task, "--source", "real", *settings)
    sizes = {split: len(list(emoji_task.glob(f"{split}/*/*"))) for split in SPLITS}
    assert record["n"]["used"] == sizes["train"]
    scores = {
        (score["evaluator"], score["metric"]): score
        for score in record["scores"]
        if (score["at_epoch"], score["split"]) == ("chosen", "test")
    }
    probe = scores["linear-probe", "mean-per-class"]
    shifted = scores["robustness-openmoji", "mean-per-class"]
    assert (probe["n"], shifted["n"]) == (sizes["test"], sizes["openmoji"])
    # Of Noto's emoji it learns to tell others'; the miniature CLIP never saw any.
    for score in (probe, shifted):
        assert 1 / len(GROUPS) < score["ci_low"] < score["value"] < score["ci_high"] < 1
    out = tmp_path / "report"
    page = bench_process("report", "--out", str(out))
    assert page.code == 0, page.err
    assert emoji_task.name in (out / "report.html").read_text()
    (table,) = out.glob(f"{emoji_task.name}.md")
    accuracy = scores["linear-probe", "accuracy"]["value"]
    assert f"| real | {sizes['train']} | 1 | {100 * accuracy:.1f} [" in table.read_text()


def test_images_are_generated_for_classes_with_ampersands(
    bench_process: Bench, emoji: list[Picture], tmp_path: Path
) -> None:
    few = [one for one in emoji if one.group in ("Food & Drink", "Smileys & Emotion")]
    write_emoji_task(tmp_path / "task", few[::6])
    record = run(
        bench_process, tmp_path / "task", "--source", "synthetic", "--n", "16",
        "--set", "train.epochs=1", "--set", "source.captions.block_size=24",
    )  # fmt: skip
    assert record["n"]["used"] == 16
    assert set(record["stage_counts"]["classes"]) == {"Food & Drink", "Smileys & Emotion"}
