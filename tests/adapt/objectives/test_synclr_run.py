"""SynCLR by the command line: a ViT of the miniature world, from scratch, and its ablations."""

import math
from typing import Any

import pytest

from tests.conftest import Bench

RUN = [
    *("run", "--preset", "mini", "--source", "synthetic", "--task", "flowers"),
    *("--n", "64", "--json"),
    *("--set", "model=vit", "--set", "train.init=scratch", "--set", "evaluators.zero-shot=null"),
    *("--set", "source.size=64", "--set", "source.images_per_caption=4"),
    *("--set", "source.captions.block_size=16", "--set", "train.epochs=2"),
    *("--set", "train.batch_size=16", "--set", "objective.hidden=32", "--set", "objective.out=16"),
    *("--set", "objective.per_group=4"),
]  # fmt: skip
SMALL = "prototypes=64 token_hidden=32 token_out=16 teacher_warmup=4"
OFF = "ema=false ibot=false local_crops=0"


@pytest.mark.slow(minutes=1)
def test_every_row_of_an_ablation_is_one_command(bench: Bench) -> None:
    def history(objective: str, options: str = "") -> list[dict[str, Any]]:
        words = [word for one in options.split() for word in ("--set", f"objective.{one}")]
        done = bench(*RUN, "--objective", objective, *words)
        assert done.code == 0, done.err
        found: list[dict[str, Any]] = done.json["selection"]["history"]
        return found

    rows = {
        options: history("synclr", f"{SMALL} {options}")
        for options in ("", "judged=teacher", "local_crops=0", "ibot=false", OFF)
    }
    for _, *epochs in rows.values():
        assert len(epochs) == 2
        assert all(math.isfinite(epoch["loss"]) for epoch in epochs)
        assert all(epoch["parts"]["lone_anchors"] == 0 for epoch in epochs)
    student, teacher = rows[""], rows["judged=teacher"]
    assert set(student[1]["parts"]) == {
        *("global_loss", "local_loss", "token_loss", "lone_anchors")
    }
    timed = {"score", "effective_rank", "train_seconds", "validate_seconds"}
    trained, of_teacher, off, stablerep = (
        [{name: value for name, value in epoch.items() if name not in timed} for epoch in one]
        for one in (student, teacher, rows[OFF], history("stablerep"))
    )
    assert trained == of_teacher
    assert [epoch["score"] for epoch in student[1:]] != [epoch["score"] for epoch in teacher[1:]]
    assert off == stablerep
    losses = [row[1]["loss"] for name, row in rows.items() if name != "judged=teacher"]
    assert len(set(losses)) == len(losses)
