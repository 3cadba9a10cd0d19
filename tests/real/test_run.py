"""Whole runs on real pictures, as a user starts them: does the harness see what is in them?"""

from pathlib import Path
from typing import Any

from tests.conftest import Bench
from tests.real.tasks import GROUPS

Scores = dict[tuple[str, str], dict[str, Any]]


def run(bench: Bench, task: Path, *words: str) -> dict[str, Any]:
    """Return the record of a run of one epoch in the miniature preset."""
    outcome = bench(
        *("run", "--preset", "mini", "--task", str(task), "--set", "train.epochs=1", "--json"),
        *words,
    )
    assert outcome.code == 0, outcome.err
    return outcome.json


def test_a_run_beats_chance_on_another_vendor_s_emoji_and_reports_it(
    bench_process: Bench, emoji_task: Path, tmp_path: Path
) -> None:
    record = run(
        *(bench_process, emoji_task, "--source", "real", "--set", "evaluators.robustness={}")
    )
    split = Path(emoji_task)
    assert record["n"]["used"] == len(list(split.glob("train/*/*")))
    scores = {
        (score["evaluator"], score["split"]): score
        for score in record["scores"]
        if (score["at_epoch"], score["metric"]) == ("chosen", "mean-per-class")
    }
    probe, shifted = scores["linear-probe", "test"], scores["robustness", "openmoji"]
    assert probe["n"] == len(list(split.glob("test/*/*")))
    assert shifted["n"] == len(list(split.glob("openmoji/*/*")))
    # Of Noto's emoji it learns to tell Fluent's; the miniature CLIP never saw any.
    assert probe["ci_low"] > 1.5 / len(GROUPS)
    assert probe["ci_low"] < probe["value"] < probe["ci_high"]
    print(scores)
    page = bench_process("report", "--out", str(tmp_path / "report"))
    assert page.code == 0, page.err
    text = (tmp_path / "report" / "index.html").read_text()
    print(len(text), "Smileys &amp; Emotion" in text)
