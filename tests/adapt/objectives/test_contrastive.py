"""Contrastive objectives: what they ask for, and their losses against formulas in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from adapt.models import Clip
from bench.core.errors import RequestError
from bench.plugins import View, objective_of
from tests.support.objectives import SMALL, batch, started, tiny_clip

CAPTIONS = [5, 5, 5, 9, 9, 9, 2, 2, 2]
"""Three images of three captions each."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return tiny_clip(tmp_path_factory.mktemp("tiny"))


def in_float64(encoded: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().double() for name, value in encoded.items()}


def several_positives(rows: Tensor, groups: list[int], temperature: float = 0.1) -> float:
    """Return the mean over anchors of minus the mean log-probability of the positives."""
    rows = functional.normalize(rows, dim=1)
    losses = []
    for i in range(len(rows)):
        others = [j for j in range(len(rows)) if j != i]
        logits = {j: float(rows[i] @ rows[j]) / temperature for j in others}
        whole = torch.tensor(list(logits.values()), dtype=torch.float64).logsumexp(0).item()
        positives = [whole - logits[j] for j in others if groups[j] == groups[i]]
        if positives:
            losses.append(sum(positives) / len(positives))
    return sum(losses) / len(losses)


def pairs(rows: Tensor, groups: list[int], count_self: bool) -> float:
    """Return SuperStableRep's loss as its authors' code has it."""
    rows = functional.normalize(rows, dim=1)
    losses = []
    for i in range(len(rows)):
        cosines = {j: rows[i] @ rows[j] / 0.1 for j in range(len(rows)) if j != i}
        near = [functional.softplus(-s) for j, s in cosines.items() if groups[j] == groups[i]]
        far = [functional.softplus(s) for j, s in cosines.items() if groups[j] != groups[i]]
        losses.append(float(sum(near) / len(near) + sum(far) / (len(far) + count_self)))
    return sum(losses) / len(losses)


def clips(images: Tensor, texts: Tensor, groups: list[int], scale: float) -> float:
    """Return CLIP's loss; the targets of an image are all texts equal to its own."""
    logits = scale * functional.normalize(images, dim=1) @ functional.normalize(texts, dim=1).T
    equal = torch.tensor([[float(a == b) for a in groups] for b in groups], dtype=torch.float64)
    targets = equal / equal.sum(1, keepdim=True)
    both = [functional.cross_entropy(one, targets) for one in (logits, logits.T)]
    return float(sum(both) / 2)


def loss(objective: Any, of: Any, encoded: dict[str, Tensor] | None = None) -> float:
    values = objective.loss(encoded or objective.encode(of, 0), of, 0)
    return float(values["loss"].detach())


@pytest.mark.parametrize(
    ("name", "options", "views", "groups"),
    [
        ("simclr", {}, 2, list(range(9))),
        ("simclr", {"norm": "ln", "temperature": 0.005}, 2, list(range(9))),
        ("supcon", {}, 2, [0, 1, 2] * 3),
        ("stablerep", {"per_group": 3}, 1, CAPTIONS),
        ("stablerep", {"per_group": 3, "views": 2}, 2, CAPTIONS),
        ("superstablerep", {"per_group": 3, "loss": "nt-xent"}, 1, CAPTIONS),
    ],
)
def test_the_loss_is_that_of_several_positives(
    clip: Clip, name: str, options: dict[str, Any], views: int, groups: list[int]
) -> None:
    objective, of = started(clip, name, **SMALL, **options), batch(clip, groups, views=views)
    encoded = in_float64(objective.encode(of, 0))
    assert [tuple(one.shape) for one in encoded.values()] == [(9, SMALL["out"])] * views
    expected = several_positives(
        torch.cat(list(encoded.values())), groups * views, options.get("temperature", 0.1)
    )
    assert loss(objective, of, encoded) == pytest.approx(expected, abs=1e-12)
    assert loss(objective, of) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("count_self", [False, True])
def test_superstablerep_weighs_pairs_as_its_authors_do(clip: Clip, count_self: bool) -> None:
    options = {**SMALL, "per_group": 3, "count_self": count_self}
    objective, of = started(clip, "superstablerep", **options), batch(clip, CAPTIONS)
    encoded = in_float64(objective.encode(of, 0))
    expected = pairs(encoded["view-1"], CAPTIONS, count_self)
    assert loss(objective, of, encoded) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("groups", [list(range(9)), CAPTIONS])
def test_clips_targets_are_equal_captions(clip: Clip, groups: list[int]) -> None:
    objective, of = started(clip, "clip"), batch(clip, groups)
    encoded = in_float64(objective.encode(of, 0))
    expected = clips(encoded["images"], encoded["texts"], groups, 1 / 0.07)
    assert loss(objective, of, encoded) == pytest.approx(expected, abs=1e-6)


def test_stablerep_of_one_image_and_two_views_is_simclr(clip: Clip) -> None:
    of = batch(clip, list(range(9)), views=2)
    stablerep = started(clip, "stablerep", per_group=1, views=2, **SMALL)
    assert loss(stablerep, of) == loss(started(clip, "simclr", **SMALL), of)
    needs = objective_of("stablerep", {"per_group": 1, "views": 2}).needs
    assert needs.views == objective_of("simclr", {}).needs.views


def test_stablerep_without_the_images_loss_is_clip(clip: Clip) -> None:
    of = batch(clip, CAPTIONS)
    options = {"per_group": 3, "images": 0.0, "language": 1.0}
    assert loss(started(clip, "stablerep", **options, **SMALL), of) == pytest.approx(
        loss(started(clip, "clip"), of), abs=1e-6
    )


def test_stablerep_with_language_adds_clips_loss_of_every_view(clip: Clip) -> None:
    """With one image and two views: SLIP."""
    of = batch(clip, list(range(9)), views=2)
    objective = started(clip, "stablerep", per_group=1, views=2, images=2.0, language=0.5, **SMALL)
    encoded = in_float64(objective.encode(of, 0))
    values = objective.loss(encoded, of, 0)
    views = torch.cat([encoded["view-1"], encoded["view-2"]])
    images = several_positives(views, [*of.groups.tolist()] * 2)
    texts = [
        clips(encoded[f"picture-{view}"], encoded["texts"], of.groups.tolist(), 1 / 0.07)
        for view in (1, 2)
    ]
    assert float(values["image_loss"]) == pytest.approx(images, abs=1e-12)
    assert float(values["text_loss"]) == pytest.approx(sum(texts) / 2, abs=1e-6)
    expected = 2 * images + 0.5 * sum(texts) / 2
    assert float(values["loss"]) == pytest.approx(expected, abs=1e-6)


def test_anchors_without_positives_are_counted_and_cost_nothing(clip: Clip) -> None:
    objective, of = started(clip, "stablerep", per_group=1, **SMALL), batch(clip, range(9))
    values = objective.loss(objective.encode(of, 0), of, 0)
    assert (float(values["loss"].detach()), int(values["lone_anchors"])) == (0, 9)


def test_batch_statistics_are_those_of_one_image_of_every_caption(clip: Clip) -> None:
    """A change of the third images leaves the first and second as they were."""
    objective, of = started(clip, "stablerep", per_group=3, **SMALL), batch(clip, CAPTIONS)
    before = objective.encode(of, 0)["view-1"]
    of.views[0][2::3] += 1
    same = (objective.encode(of, 0)["view-1"] == before).all(dim=1)
    assert same.tolist() == [True, True, False] * 3


@pytest.mark.parametrize("norm", ["bn", "ln"])
def test_rows_are_independent_if_the_head_has_layer_norm(clip: Clip, norm: str) -> None:
    objective, of = started(clip, "simclr", norm=norm, **SMALL), batch(clip, range(6), views=2)
    whole = objective.encode(of, 0)["view-1"][:2]
    part = objective.encode(of.split(2)[0], 0)["view-1"]
    assert torch.allclose(whole, part, atol=1e-6) == (norm == "ln")


@pytest.mark.parametrize(
    ("name", "options", "group", "per_group", "views", "texts"),
    [
        ("clip", {}, "caption", 1, 1, True),
        ("simclr", {}, "image", 1, 2, False),
        ("supcon", {}, "class", 1, 2, False),
        ("stablerep", {}, "caption", 6, 1, False),
        ("stablerep", {"language": 0.1, "views": 3}, "caption", 6, 3, True),
        ("superstablerep", {"per_group": 4}, "caption", 4, 1, False),
    ],
)
def test_what_is_needed_follows_from_the_options(
    name: str,
    options: dict[str, Any],
    group: str,
    per_group: int,
    views: int,
    texts: bool,
) -> None:
    needs = objective_of(name, options).needs
    assert (needs.group, needs.per_group, len(needs.views)) == (group, per_group, views)
    assert (needs.coupled, needs.head, needs.texts) == (True, texts, texts)
    assert len({view.name for view in needs.views}) == views


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("simclr", {}, 2),
        ("supcon", {}, 2),
        ("stablerep", {}, 1),
        ("stablerep", {"views": 3}, 3),
        ("superstablerep", {}, 1),
    ],
)
def test_views_of_a_number_are_alike_in_all_objectives(
    name: str, options: dict[str, Any], count: int
) -> None:
    expected = [View(name=f"strong-{n}", area=(0.2, 0.9), recipe="simclr") for n in (1, 2, 3)]
    views = objective_of(name, {"area": [0.2, 0.9], **options}).needs.views
    assert list(views) == expected[:count]


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("stablerep", {"images": 0.0}, "are both 0"),
        ("stablerep", {"per_group": 1, "language": 1.0}, "no image has a positive"),
        ("superstablerep", {"per_group": 1}, "per_group"),
        ("superstablerep", {"loss": "nt-xent", "count_self": True}, "count_self=true"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    name: str, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(RequestError, match=complaint):
        _ = objective_of(name, options).needs


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip", {}),
        ("simclr", SMALL),
        ("supcon", {**SMALL, "norm": "ln"}),
        ("stablerep", {**SMALL, "per_group": 3}),
        ("stablerep", {**SMALL, "per_group": 3, "views": 2, "language": 1.0}),
        ("stablerep", {**SMALL, "per_group": 3, "images": 0.0, "language": 1.0}),
        ("superstablerep", {**SMALL, "per_group": 3}),
    ],
)
def test_every_trained_parameter_is_used_and_the_classifiers_head_is_none(
    clip: Clip, name: str, options: dict[str, Any]
) -> None:
    """Processes wait for the gradient of every trained parameter."""
    of, objective = batch(clip, CAPTIONS, views=2), started(clip, name, **options)
    assert not any(one.requires_grad for one in objective.model.head.parameters())
    objective.loss(objective.encode(of, 0), of, 0)["loss"].backward()
    trained = {name: one for name, one in objective.named_parameters() if one.requires_grad}
    assert not [name for name, one in trained.items() if one.grad is None]
    assert any(name.startswith("model.visual") for name in trained)


def test_the_judged_head_is_what_the_prompts_became(clip: Clip) -> None:
    of = batch(clip, CAPTIONS)
    for name, options in [("clip", {}), ("stablerep", {**SMALL, "language": 1.0, "per_group": 3})]:
        objective = started(clip, name, **options)
        before = objective.judged().head.weight.clone()
        trained = [one for one in objective.parameters() if one.requires_grad]
        optimiser = torch.optim.SGD(trained, lr=0.1)
        objective.loss(objective.encode(of, 0), of, 0)["loss"].backward()
        optimiser.step()
        objective.after_step(0)
        after = objective.judged().head.weight
        assert torch.equal(after, objective.text.head())
        assert (after - before).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "options"), [("clip", {}), ("stablerep", {"language": 1.0})])
def test_the_scale_stays_below_a_hundred(clip: Clip, name: str, options: dict[str, Any]) -> None:
    objective = started(clip, name, **(SMALL | options if options else {}))
    with torch.no_grad():
        objective.text.model.logit_scale += 10
    objective.after_step(0)
    assert float(objective.text.scale.detach()) == pytest.approx(100)
