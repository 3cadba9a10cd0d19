"""SynCLR: its loss against formulas in float64, its switches, and its teacher."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from adapt.models import Clip
from adapt.objectives.synclr import SynCLR
from bench.core.errors import RequestError
from bench.plugins import Batch, Masks, objective_of
from tests.support.objectives import OFF, SMALL, SYNCLR, batch, started, tiny_clip

CAPTIONS = [5, 5, 5, 9, 9, 9, 2, 2, 2]
MASKED = [8, 8, 0, 3, 0, 1, 16, 0, 8]
"""How many patches of each image are masked."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return tiny_clip(tmp_path_factory.mktemp("tiny"))


def images(clip: Clip, crops: int = 2, masked: list[int] | None = MASKED) -> Batch:
    of = batch(clip, CAPTIONS, crops=crops, masked=masked)
    return replace(of, views=tuple(view.double() for view in of.views))


def synclr(clip: Clip, **options: Any) -> Any:
    """Return the objective in float64, whose teacher is no longer the student."""
    objective = started(clip, "synclr", **{**SYNCLR, **options}).double()
    if objective.teacher is not None:
        torch.manual_seed(2)
        with torch.no_grad():
            for parameter in objective.teacher.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return objective


def towards(
    queries: Tensor, keys: Tensor, groups: list[int], own: list[int] | None, temperature: float
) -> float:
    """Return the mean over queries of minus the mean log-probability of the keys of their group.

    Args:
        queries: ``[b, d]``.
        keys: ``[n, d]``.
        groups: Of the keys; queries repeat them.
        own: The key of each query's own image, which it does not see; None if it does.
        temperature: Cosines are divided by it.
    """
    cosines = functional.normalize(queries, dim=1) @ functional.normalize(keys, dim=1).T
    losses = []
    for i in range(len(queries)):
        seen = [j for j in range(len(keys)) if own is None or j != own[i]]
        logits = {j: float(cosines[i, j].detach()) / temperature for j in seen}
        whole = torch.tensor(list(logits.values()), dtype=torch.float64).logsumexp(0).item()
        group = groups[i % len(groups)]
        positives = [whole - logits[j] for j in seen if groups[j] == group]
        losses.append(sum(positives) / len(positives))
    return sum(losses) / len(losses)


def assigned(logits: Tensor, temperature: float) -> Tensor:
    """Return Sinkhorn's assignments with exponentials, three times by columns and by rows.

    Samples have mass 1 from the start.
    """
    masses = (logits.detach() / temperature).exp()
    masses = masses / masses.sum(1, keepdim=True)
    for _ in range(3):
        masses = masses / masses.sum(0, keepdim=True)
        masses = masses / masses.sum(1, keepdim=True)
    return masses


def of_tokens(student: Tensor, teacher: Tensor, masked: list[int], temperature: float) -> float:
    """Return iBOT's loss, image by image and token by token."""
    targets, place, per_image = assigned(teacher, temperature), 0, []
    for count in masked:
        tokens = range(place, place + count)
        losses = [
            -float((targets[token] * (student[token] / 0.1).log_softmax(0)).sum().detach())
            for token in tokens
        ]
        per_image += [sum(losses) / count] if count else []
        place += count
    return sum(per_image) / len(per_image)


def values(objective: Any, of: Batch, step: int = 0) -> tuple[Mapping[str, Tensor], Any]:
    """Return what a batch is encoded as, and the values of its losses."""
    encoded = objective.encode(of, step)
    return encoded, {
        name: one if name == "loss" else one.detach()
        for name, one in objective.loss(encoded, of, step).items()
    }


@pytest.mark.parametrize("crops", [1, 2, 4])
@pytest.mark.parametrize("norm", ["bn", "ln"])
def test_the_loss_is_equation_4(clip: Clip, crops: int, norm: str) -> None:
    objective, of = synclr(clip, local_crops=crops, norm=norm), images(clip, crops)
    encoded, found = values(objective, of, step=5)
    keys = encoded["keys"]
    expected = towards(encoded["view-1"], keys, CAPTIONS, list(range(9)), 0.08)
    assert float(found["global_loss"]) == pytest.approx(expected, abs=1e-12)
    of_crops = [
        towards(encoded[f"local-{n}"], keys, CAPTIONS, None, 0.08) for n in range(1, crops + 1)
    ]
    assert float(found["local_loss"]) == pytest.approx(sum(of_crops) / crops, abs=1e-12)
    # Halfway through the warm-up of ten steps.
    tokens = of_tokens(encoded["tokens"], encoded["targets"], MASKED, 0.055)
    assert float(found["token_loss"]) == pytest.approx(tokens, abs=1e-12)
    total = expected + sum(of_crops) / crops + tokens
    assert float(found["loss"].detach()) == pytest.approx(total, abs=1e-12)
    assert int(found["lone_anchors"]) == 0


def test_a_tiny_temperature_leaves_the_loss_finite(clip: Clip) -> None:
    objective, of = synclr(clip, temperature=0.005), images(clip)
    encoded, found = values(objective, of)
    expected = towards(encoded["view-1"], encoded["keys"], CAPTIONS, list(range(9)), 0.005)
    assert float(found["global_loss"]) == pytest.approx(expected, abs=1e-10)
    found["loss"].backward()
    assert all(bool(one.grad.isfinite().all()) for one in objective.projection.parameters())


@pytest.mark.parametrize(("step", "temperature"), [(0, 0.04), (3, 0.049), (10, 0.07), (99, 0.07)])
def test_the_temperature_of_the_teachers_tokens_rises_and_stays(
    clip: Clip, step: int, temperature: float
) -> None:
    objective, of = synclr(clip), images(clip)
    encoded, found = values(objective, of, step)
    expected = of_tokens(encoded["tokens"], encoded["targets"], MASKED, temperature)
    assert float(found["token_loss"]) == pytest.approx(expected, abs=1e-12)


def test_own_images_are_known_by_their_id(clip: Clip) -> None:
    """An image twice in a batch, which balanced sampling may give, is no positive of itself."""
    objective, of = synclr(clip, ibot=False), images(clip, masked=None)
    of.rows[1] = of.rows[0]
    encoded, found = values(objective, of)
    queries, keys = (functional.normalize(encoded[one], dim=1) for one in ("view-1", "keys"))
    logits = (queries @ keys.T).detach() / 0.08
    same = of.rows[:, None] == of.rows
    logs = logits.masked_fill(same, -torch.inf).log_softmax(1)
    positive = (of.groups[:, None] == of.groups) & ~same
    per_anchor = torch.where(positive, -logs, 0).sum(1) / positive.sum(1)
    assert float(found["global_loss"]) == pytest.approx(float(per_anchor.mean()), abs=1e-12)


def test_a_student_that_equals_its_teacher_has_stablereps_loss(clip: Clip) -> None:
    objective, of = synclr(clip, ibot=False, local_crops=0, temperature=0.1), images(clip, 0, None)
    encoded = dict(objective.encode(of, 0))
    rows = {"view-1": encoded["keys"]}
    expected = started(clip, "stablerep", **SMALL, per_group=3).loss(rows, of, 0)["loss"]
    encoded["view-1"] = encoded["keys"]
    assert float(objective.loss(encoded, of, 0)["loss"].detach()) == pytest.approx(
        float(expected), abs=1e-14
    )


def test_without_a_teacher_the_keys_are_the_students_own(clip: Clip) -> None:
    objective, of = synclr(clip, ema=False, ibot=False), images(clip, masked=None)
    encoded, found = values(objective, of)
    assert set(encoded) == {"view-1", "local-1", "local-2"}
    view = encoded["view-1"]
    expected = towards(view, view, CAPTIONS, list(range(9)), 0.08)
    assert float(found["global_loss"]) == pytest.approx(expected, abs=1e-12)
    crops = torch.cat([encoded["local-1"], encoded["local-2"]])
    assert float(found["local_loss"]) == pytest.approx(
        towards(crops, view, CAPTIONS, None, 0.08), abs=1e-12
    )


def test_nothing_is_learned_through_the_teacher(clip: Clip) -> None:
    objective, of = synclr(clip), images(clip)
    encoded, found = values(objective, of)
    assert not encoded["keys"].requires_grad
    assert not encoded["targets"].requires_grad
    found["loss"].backward()
    assert all(one.grad is None for one in objective.teacher.parameters())
    assert not any(one.requires_grad for one in objective.teacher.parameters())


@pytest.mark.parametrize("masked", [MASKED, [0] * 9], ids=["masked", "none is"])
@pytest.mark.parametrize("switches", [{}, {"ibot": False}, {"local_crops": 0}, OFF])
def test_every_trained_parameter_is_used(
    clip: Clip, masked: list[int], switches: dict[str, Any]
) -> None:
    """Processes wait for the gradient of every trained parameter, whatever is masked."""
    objective = synclr(clip, **switches)
    of = images(clip, switches.get("local_crops", 2), masked)
    _, found = values(objective, of)
    found["loss"].backward()
    trained = {name: one for name, one in objective.named_parameters() if one.requires_grad}
    assert not [name for name, one in trained.items() if one.grad is None]
    assert all(bool(one.grad.isfinite().all()) for one in trained.values())
    if not sum(masked) and "token_loss" in found:
        assert float(found["token_loss"]) == 0


def test_the_student_sees_masked_patches_nowhere_and_the_teacher_does(clip: Clip) -> None:
    objective, of = synclr(clip), images(clip)
    before = objective.encode(of, 0)
    assert of.masks is not None
    first = of.masks.nonzero()[0]  # A patch of 8 pixels, of the first image.
    row, column = divmod(int(first[1]), 4)
    of.views[0][0, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 1
    after = objective.encode(of, 0)
    for name in ("tokens", "view-1", "local-1"):
        assert torch.equal(before[name], after[name])
    for name in ("keys", "targets"):
        assert not torch.equal(before[name], after[name])


def test_only_masked_patches_have_tokens(clip: Clip) -> None:
    encoded, _ = values(synclr(clip), images(clip))
    assert encoded["tokens"].shape == encoded["targets"].shape == (sum(MASKED), 12)


def test_the_teacher_follows_the_student_along_half_a_cosine(clip: Clip) -> None:
    objective = synclr(clip)
    average = {name: one.clone() for name, one in objective.teacher.named_parameters()}
    for step, kept in ((0, 0.994), (5, 0.997), (10, 1.0)):  # Of ten steps.
        with torch.no_grad():
            for parameter in objective.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)
        objective.after_step(step)
        student = dict(objective.named_parameters())
        average = {name: kept * one + (1 - kept) * student[name] for name, one in average.items()}
        for name, one in objective.teacher.named_parameters():
            torch.testing.assert_close(one, average[name], rtol=0, atol=1e-14)
    assert any(name.startswith("token_head") for name in average)
    assert not any(name.startswith("predictor") for name in average)


def test_a_teacher_drops_nothing(tmp_path: Path) -> None:
    """The student's tower leaves out patches in training; without iBOT that is allowed."""
    clip = tiny_clip(tmp_path, patch_dropout=0.5)
    objective, of = synclr(clip, ibot=False), images(clip, masked=None)
    first, second = (objective.encode(of, 0) for _ in range(2))
    assert not torch.equal(first["view-1"], second["view-1"])
    assert torch.equal(first["keys"], second["keys"])


@pytest.mark.parametrize(("judged", "expected"), [("student", "model"), ("teacher", "teacher")])
def test_who_is_judged(clip: Clip, judged: str, expected: str) -> None:
    objective = synclr(clip, judged=judged)
    teacher = objective.teacher.model
    assert objective.judged() is (teacher if expected == "teacher" else objective.model)


def test_all_off_needs_what_stablerep_needs() -> None:
    for given in ({}, {"area": [0.2, 0.9], "temperature": 0.3, "norm": "ln", "downsample": 0.1}):
        off = objective_of("synclr", {**OFF, "per_group": 6, **given})
        stablerep = objective_of("stablerep", given)
        assert off.needs == stablerep.needs
        shared = ("temperature", "area", "downsample", "norm", "hidden", "out", "per_group")
        for name in shared:
            assert getattr(off.options, name) == getattr(stablerep.options, name)


def test_what_is_needed_follows_from_the_switches() -> None:
    needs = objective_of("synclr", {}).needs
    assert (needs.group, needs.per_group, needs.coupled, needs.head) == ("caption", 4, True, False)
    assert needs.masks == Masks(images=0.5, patches=0.5)
    (whole, *crops) = needs.views
    assert (whole.size, whole.area, whole.recipe) == (1.0, (0.32, 1.0), "byol")
    assert [(one.size, one.area, one.recipe) for one in crops] == [
        (96 / 224, (0.08, 0.32), "byol")
    ] * 4
    assert len({one.name for one in needs.views}) == 5
    # A row of an ablation changes nothing of what the others share.
    without = objective_of("synclr", {"ibot": False, "local_crops": 1}).needs
    assert without.masks is None
    assert without.views == needs.views[:2]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"ema": False}, "objective.ibot=true needs a teacher"),
        ({"ema": False, "ibot": False, "judged": "teacher"}, "judged=teacher needs a teacher"),
        ({"per_group": 1}, "per_group"),
        ({"area": [0.9, 0.2]}, "ends before it begins"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        _ = objective_of("synclr", options).needs


def test_the_papers_numbers_are_the_defaults() -> None:
    options = SynCLR.Options()
    assert (options.temperature, options.prototypes, options.teacher_warmup) == (0.08, 65536, 4000)
    assert (options.local_crops, options.per_group, options.norm) == (4, 4, "bn")
