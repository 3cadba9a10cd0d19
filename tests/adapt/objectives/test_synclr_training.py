"""SynCLR in the training loop: its teacher, its switches, and a training that is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn

from adapt.checkpoint import Checkpoint
from adapt.finetune import Adapted
from adapt.layers.heads import TokenHead
from adapt.optimise import make_optimiser, set_weight_decay
from bench.core.specs import TrainSpec
from bench.plugins import Batch
from tests.support.objectives import OFF, SMALL, SYNCLR, started, tiny_clip, training
from tests.support.tiny_training import assert_same, losses, save_always

torch.set_num_threads(1)

SPEC = TrainSpec(epochs=2, batch_size=12, lr=2e-3, warmup_steps=2)
"""Three steps an epoch."""


def checkpoint(folder: Path) -> Checkpoint:
    found = Checkpoint.load(folder)
    assert found is not None
    return found


def within(last: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return what stands under a name in a checkpoint."""
    return {name.removeprefix(prefix): one for name, one in last.items() if name.startswith(prefix)}


@pytest.mark.parametrize("norm", ["bn", "ln"])
def test_all_off_is_stablerep_to_the_bit(tmp_path: Path, norm: str) -> None:
    shared = {**SMALL, "per_group": 3, "norm": norm}
    expected = training(tmp_path, "stablerep", shared, SPEC, run="stablerep")
    found = training(tmp_path, "synclr", {**shared, **OFF}, SPEC, run="synclr")
    assert losses(found) == losses(expected)
    assert [one.parts for one in found.history] == [one.parts for one in expected.history]
    ours, theirs = (checkpoint(tmp_path / run).last for run in ("synclr", "stablerep"))
    assert_same(ours, theirs, 0)
    for epoch, weights in expected.weights.items():
        assert_same(found.weights[epoch], weights, 0)


@pytest.mark.parametrize("switches", [{}, {"ibot": False}, {"local_crops": 0}])
def test_every_switch_changes_the_training(tmp_path: Path, switches: dict[str, Any]) -> None:
    spec = msgspec.structs.replace(SPEC, epochs=1)
    one = training(tmp_path, "synclr", {**SYNCLR, **switches}, spec, run="one")
    off = training(
        tmp_path, "synclr", {**SYNCLR, **OFF, **switches, "ibot": False}, spec, run="off"
    )
    parts = {"global_loss", "local_loss", "token_loss", "lone_anchors"}
    assert set(one.history[1].parts) == {
        name
        for name in parts
        if not (name == "token_loss" and switches.get("ibot") is False)
        and not (name == "local_loss" and switches.get("local_crops") == 0)
    }
    assert losses(one) != losses(off)


def watched(seen: list[list[int]], teachers: list[dict[str, Tensor]]) -> Any:
    """Return what makes an objective note the steps that it follows, and its teacher's weights."""

    def watching(kind: Any) -> Any:
        class Watched(kind):  # type: ignore[misc]
            def __init__(self, *given: Any) -> None:
                super().__init__(*given)
                seen.append([])

            def after_step(self, step: int) -> None:
                before = {n: one.clone() for n, one in self.teacher.named_parameters()}
                super().after_step(step)
                seen[-1].append(step)
                student = dict(self.named_parameters())
                share = 0.006 * 0.5 * (1 + torch.cos(torch.tensor(step / 6 * torch.pi)))
                for name, one in self.teacher.named_parameters():
                    expected = before[name] + share * (student[name] - before[name])
                    torch.testing.assert_close(one, expected, rtol=0, atol=1e-7)
                teachers.append({n: one.clone() for n, one in self.teacher.named_parameters()})

        return Watched

    return watching


def test_the_teacher_moves_once_a_step_however_many_parts_it_has(tmp_path: Path) -> None:
    """Parts of five images cut through tuples of three, and have masks of their own."""
    options, seen = {**SYNCLR, "norm": "ln"}, list[list[int]]()
    teachers: dict[str, list[dict[str, Tensor]]] = {"whole": [], "parts": []}
    specs = {"whole": SPEC, "parts": msgspec.structs.replace(SPEC, micro_batch=5)}
    for run, spec in specs.items():
        kind = watched(seen, teachers[run])
        training(tmp_path, "synclr", options, spec, run=run, kind=kind)
    assert seen == [[0, 1, 2, 3, 4, 5]] * 2
    for whole, parts in zip(teachers["whole"], teachers["parts"], strict=True):
        assert_same(parts, whole, 1e-6)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Adapted, Checkpoint]]:
    """Trainings whose student or teacher is judged, and what they leave."""
    folder, found = tmp_path_factory.mktemp("judged"), {}
    for name in ("student", "teacher"):
        adapted = training(folder, "synclr", {**SYNCLR, "judged": name}, SPEC, run=name)
        found[name] = (adapted, checkpoint(folder / name))
    return found


def test_the_judged_weights_are_those_that_every_epoch_keeps(
    judged: dict[str, tuple[Adapted, Checkpoint]],
) -> None:
    (student, of_student), (teacher, of_teacher) = judged["student"], judged["teacher"]
    assert losses(student) == losses(teacher)
    assert_same(of_student.last, of_teacher.last, 0)
    for adapted, kept, prefix in (
        (student, of_student, "model."),
        (teacher, of_teacher, "teacher.model."),
    ):
        last = within(kept.last, prefix)
        assert_same(adapted.weights[SPEC.epochs], last, 0)
        assert_same(kept.trained, last, 0)
        adapted.load(SPEC.epochs)
        assert_same(adapted.classifier.state(), last, 0)
    assert_same(student.weights[0], teacher.weights[0], 0)
    moved, followed = (
        max(
            float((one.weights[2][name] - one.weights[0][name]).abs().max())
            for name in one.weights[0]
        )
        for one in (student, teacher)
    )
    assert 0 < followed < moved / 10


def test_a_checkpoint_has_the_teacher_and_the_optimiser_has_not(
    tmp_path: Path, judged: dict[str, tuple[Adapted, Checkpoint]]
) -> None:
    last = judged["student"][1].last
    assert "teacher.model.visual.conv1.weight" in last
    assert "teacher.projection.0.weight" in last
    assert {"teacher.token_head.gain", "mask_token", "predictor.0.weight"} < set(last)
    assert not any(name.startswith("teacher.predictor") for name in last)
    objective = started(tiny_clip(tmp_path), "synclr", **SYNCLR)
    optimised = {
        id(one) for group in make_optimiser(objective, SPEC).param_groups for one in group["params"]
    }
    assert not optimised & {id(one) for one in objective.teacher.parameters()}
    for name in ("model.visual", "projection", "predictor", "token_head"):
        assert {id(one) for one in objective.get_submodule(name).parameters()} <= optimised
    assert id(objective.mask_token) in optimised


@pytest.mark.parametrize("everything", [True, False])
def test_gains_never_decay(everything: bool) -> None:
    head = TokenHead(8, 16, 4, prototypes=12)
    spec = msgspec.structs.replace(SPEC, decay_norm_and_bias=everything, weight_decay=0.5)
    optimiser = make_optimiser(head, spec)
    set_weight_decay(optimiser, 0.5)
    for parameter in head.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = {name: one.clone() for name, one in head.named_parameters()}
    optimiser.step()
    changed = {n for n, one in head.named_parameters() if not torch.equal(one, before[n])}
    assert torch.equal(before["gain"], torch.ones(12))
    assert "directions" in changed
    assert "gain" not in changed


def test_logits_are_cosines_times_gains() -> None:
    head, tokens = TokenHead(8, 16, 4, prototypes=12).double(), torch.randn(5, 8).double()
    with torch.no_grad():
        unit = nn.functional.normalize(head.layers(tokens), dim=1)
        directions = nn.functional.normalize(head.directions, dim=1)
        torch.testing.assert_close(head(tokens), unit @ directions.T)
        head.gain.mul_(torch.arange(12))
        torch.testing.assert_close(head(tokens), unit @ directions.T * torch.arange(12))
        head.directions.mul_(3)
        torch.testing.assert_close(head(tokens), unit @ directions.T * torch.arange(12))


@pytest.mark.slow
def test_a_killed_training_continues_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_always(monkeypatch, check_steps=1)
    options = {**SYNCLR, "judged": "teacher"}
    undisturbed = training(tmp_path, "synclr", options, SPEC, run="undisturbed")
    root = Path(__file__).parents[3]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    words = [sys.executable, "-m", __name__, str(tmp_path)]
    done = subprocess.run(words, env=environment, cwd=root, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = checkpoint(tmp_path / "run")
    assert (len(left.history), left.progress.step) == (2, 1)
    resumed = training(tmp_path, "synclr", options, SPEC)
    assert losses(resumed) == losses(undisturbed)
    ours, theirs = (checkpoint(tmp_path / run).last for run in ("run", "undisturbed"))
    assert_same(ours, theirs, 0)
    for epoch, weights in undisturbed.weights.items():
        assert_same(resumed.weights[epoch], weights, 0)


def killed(at: int) -> Any:
    """Return what has an objective kill its process at one of its encodings, from 1."""

    def killing(kind: Any) -> Any:
        class Killing(kind):  # type: ignore[misc]
            encodings = 0

            def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
                self.encodings += 1
                if self.encodings == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                encoded: dict[str, Tensor] = super().encode(batch, step)
                return encoded

        return Killing

    return killing


if __name__ == "__main__":
    save_always(pytest.MonkeyPatch(), check_steps=1)
    given = {**SYNCLR, "judged": "teacher"}
    training(Path(sys.argv[1]), "synclr", given, SPEC, kind=killed(at=5))
