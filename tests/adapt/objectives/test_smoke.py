"""The study that runs every objective in the miniature world."""

import json
import math
from typing import Any

import pytest

from bench.core.paths import Home
from tests.conftest import ROOT, Bench


@pytest.mark.slow(minutes=3)
def test_every_objective_trains_and_is_judged(bench_process: Bench, home: Home) -> None:
    done = bench_process("sweep", str(ROOT / "studies" / "ssl-smoke.yaml"))
    assert done.code == 0, done.err
    records = [json.loads(path.read_bytes()) for path in home.runs.glob("*/record.json")]
    trained = [record for record in records if record["spec"]["source"] == "synthetic"]
    losses: dict[tuple[str, ...], list[float]] = {}
    for record in trained:
        spec, (unadapted, *epochs) = record["spec"], record["selection"]["history"]
        assert (record["status"], record["n"]["used"]) == ("done", 512)
        assert unadapted["loss"] is None
        assert len(epochs) == 2
        assert all(math.isfinite(epoch["loss"]) for epoch in epochs)
        assert all(epoch["effective_rank"] >= 1 for epoch in epochs)
        assert all(epoch["parts"].get("lone_anchors", 0) == 0 for epoch in epochs)
        evaluators = {score["evaluator"] for score in record["scores"]}
        judged_by_head = spec["objective"] in {"ce", "clip"}
        assert evaluators == {"linear-probe"} | ({"zero-shot"} if judged_by_head else set())
        losses[_label(spec)] = [epoch["loss"] for epoch in epochs]
    softmax = losses["stablerep", "pretrained", "0.0", ""]
    assert softmax == losses["superstablerep", "pretrained", "", "nt-xent"]
    assert len({tuple(values) for values in losses.values()}) == len(losses) - 1
    starts = {
        _network(record["spec"]): record["selection"]["history"][0]["score"]
        for record in records
        if record["spec"]["source"] == "none"
    }
    for record in trained:
        first = record["selection"]["history"][0]["score"]
        assert first == starts[_network(record["spec"])]


def _network(spec: dict[str, Any]) -> tuple[str, str]:
    return spec["model"], spec["train"]["init"]


def _label(spec: dict[str, Any]) -> tuple[str, ...]:
    options = spec["objective_options"]
    kind = (spec["objective"], spec["train"]["init"])
    return (*kind, str(options.get("language", "")), str(options.get("loss", "")))
