"""Contrastive objectives in the training loop: they fall, resume, fit short memory and bfloat16."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from bench.core.errors import RequestError
from bench.core.specs import TrainSpec
from bench.plugins import Batch
from tests.support.objectives import SMALL, SYNCLR, training
from tests.support.tiny_training import EndedError, assert_same, kept, losses, save_always

torch.set_num_threads(1)

SPEC = TrainSpec(epochs=4, batch_size=12, lr=2e-3, warmup_steps=2)
OBJECTIVES: list[tuple[str, dict[str, Any]]] = [
    ("clip", {}),
    ("simclr", SMALL),
    ("supcon", SMALL),
    ("stablerep", {**SMALL, "per_group": 3}),
    ("stablerep", {**SMALL, "per_group": 3, "language": 1.0}),
    ("superstablerep", {**SMALL, "per_group": 3}),
    ("synclr", SYNCLR),
]
IDS = ["clip", "simclr", "supcon", "stablerep", "language", "superstablerep", "synclr"]


def ending(at: int) -> Any:
    """Return what makes an objective end its training at one of its encodings, from 1."""

    def ended(kind: Any) -> Any:
        class Ending(kind):  # type: ignore[misc]
            encodings = 0

            def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
                self.encodings += 1
                if self.encodings == at:
                    raise EndedError
                encoded: dict[str, Tensor] = super().encode(batch, step)
                return encoded

        return Ending

    return ended


@pytest.mark.parametrize(("name", "options"), OBJECTIVES, ids=IDS)
def test_the_loss_falls_and_an_ended_training_continues_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any]
) -> None:
    save_always(monkeypatch, check_steps=2)
    undisturbed = training(tmp_path, name, options, SPEC, run="undisturbed")
    fell = losses(undisturbed)
    assert len(fell) == SPEC.epochs
    # In so few steps, SynCLR's teacher hardly moves, and its tokens' loss with it.
    most = 0.995 if name == "synclr" else 0.98
    assert fell[-1] < most * fell[0]  # type: ignore[operator]
    with pytest.raises(EndedError):
        training(tmp_path, name, options, SPEC, kind=ending(at=6))
    assert kept(tmp_path).progress.step == 2
    resumed = training(tmp_path, name, options, SPEC)
    assert [one.parts for one in resumed.history] == [one.parts for one in undisturbed.history]
    assert losses(resumed) == fell
    last = kept(tmp_path).last
    assert any(one.startswith(("projection", "text")) for one in last)
    for epoch, weights in undisturbed.weights.items():
        assert_same(resumed.weights[epoch], weights, 0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip", {}),
        ("simclr", {**SMALL, "norm": "ln"}),
        ("stablerep", {**SMALL, "norm": "ln", "per_group": 3, "language": 1.0}),
        ("synclr", {**SYNCLR, "norm": "ln"}),
    ],
)
def test_short_memory_does_not_change_the_negatives(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    """Parts of five images cut through tuples of three."""
    spec = msgspec.structs.replace(SPEC, epochs=2)
    whole = training(tmp_path, name, options, spec, run="whole")
    parts = msgspec.structs.replace(spec, micro_batch=5)
    cut = training(tmp_path, name, options, parts, run="cut")
    assert losses(cut) == pytest.approx(losses(whole), rel=1e-6)
    assert_same(cut.classifier.state(), whole.classifier.state(), 1e-5)


def test_batch_norm_in_the_head_refuses_parts(tmp_path: Path) -> None:
    spec = msgspec.structs.replace(SPEC, micro_batch=4)
    with pytest.raises(RequestError, match="batch norm needs whole batches"):
        training(tmp_path, "simclr", SMALL, spec)


@pytest.mark.parametrize(("name", "options"), OBJECTIVES, ids=IDS)
def test_bfloat16_changes_the_loss_by_its_rounding(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    # Batch norm over four images that are nearly alike would magnify it.
    options = options | ({} if name == "clip" else {"norm": "ln"})
    spec = msgspec.structs.replace(SPEC, epochs=1)
    full = training(tmp_path, name, options, spec, run="full")
    half = msgspec.structs.replace(spec, precision="bf16")
    reduced = training(tmp_path, name, options, half, run="reduced")
    assert losses(reduced) == pytest.approx(losses(full), rel=0.05)
    assert losses(reduced) != losses(full)
    assert {value.dtype for value in reduced.classifier.state().values()} == {torch.float32}


def test_the_seed_alone_decides_how_a_head_starts(tmp_path: Path) -> None:
    begun: list[Tensor] = []

    def watched(kind: Any) -> Any:
        class Watched(kind):  # type: ignore[misc]
            def __init__(self, *given: Any) -> None:
                super().__init__(*given)
                begun.append(self.projection[0].weight.detach().clone())

        return Watched

    spec = msgspec.structs.replace(SPEC, epochs=1)
    trained = []
    for number, seed in enumerate([0, 0, 1]):
        torch.manual_seed(number)
        run = f"run-{number}"
        trained.append(training(tmp_path, "simclr", SMALL, spec, kind=watched, run=run, seed=seed))
    first, again, other = begun
    assert torch.equal(again, first)
    assert not torch.equal(other, first)
    assert losses(trained[1]) == losses(trained[0])
