"""The learning rate at every step, and what is decayed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from adapt.models import load_clip
from adapt.optimise import (
    learning_rate,
    make_optimiser,
    set_learning_rate,
    set_weight_decay,
    warmup_steps,
    weight_decay,
)
from bench.core.specs import TrainSpec
from tests.support.tiny_clip import write_tiny_clip


def test_paper_at_a_thousand_images_peaks_at_an_eighth_of_the_rate() -> None:
    """30 epochs of 2 steps end within a warm-up of 500 (Geng 2024, code, utils.py:24-43)."""
    spec = TrainSpec()
    assert max(learning_rate(spec, step, 60) for step in range(60)) == pytest.approx(0.12e-5)


def test_fraction_replaces_the_warm_up_steps() -> None:
    spec = TrainSpec(warmup_fraction=0.1, lr=1.0)
    assert warmup_steps(spec, 60) == 6
    assert learning_rate(spec, 5, 60) == 1.0
    assert learning_rate(spec, 59, 60) < 0.01


def test_everything_is_decayed_unless_asked_otherwise() -> None:
    linear = nn.Linear(4, 3)
    model = nn.Sequential(linear, nn.LayerNorm(3))
    (group,) = make_optimiser(model, TrainSpec(weight_decay=0.1)).param_groups
    assert group["weight_decay"] == 0.1
    assert len(group["params"]) == 4
    spared = TrainSpec(weight_decay=0.1, decay_norm_and_bias=False)
    decayed, free = make_optimiser(model, spared).param_groups
    assert decayed["params"] == [linear.weight]
    assert free["weight_decay"] == 0.0
    assert len(free["params"]) == 3


def test_positions_are_decayed_and_the_class_token_of_open_clip_is_not(tmp_path: Path) -> None:
    """As docs/systems.md has it: that token is a vector."""
    clip = load_clip(write_tiny_clip(tmp_path))
    visual = clip.model.visual.requires_grad_(True)
    decayed, spared = make_optimiser(visual, TrainSpec(decay_norm_and_bias=False)).param_groups
    places = {id(one): group["decays"] for group in (decayed, spared) for one in group["params"]}
    assert places[id(visual.positional_embedding)]
    assert not places[id(visual.class_embedding)]


def test_weight_decay_rises_along_half_a_cosine() -> None:
    """SynCLR's, 0.04 to 0.2, is 0.12 in the middle, whatever the warm-up."""
    spec = TrainSpec(weight_decay=0.04, weight_decay_end=0.2, warmup_steps=10)
    decays = [weight_decay(spec, step, 100) for step in range(101)]
    assert [decays[0], decays[25], decays[50], decays[100]] == pytest.approx(
        [0.04, 0.2 - 0.08 * (1 + 2**-0.5), 0.12, 0.2]
    )
    assert decays == sorted(decays)
    assert weight_decay(TrainSpec(weight_decay=0.3), 7, 100) == 0.3


def test_what_is_spared_stays_without_weight_decay() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    # From nothing, too: what is spared is not told by its weight decay.
    spec = TrainSpec(weight_decay=0.0, weight_decay_end=0.2, decay_norm_and_bias=False)
    optimiser = make_optimiser(model, spec)
    set_weight_decay(optimiser, 0.2)
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.2, 0.0]
    again = make_optimiser(model, spec)
    again.load_state_dict(optimiser.state_dict())
    set_weight_decay(again, 0.1)
    assert [group["weight_decay"] for group in again.param_groups] == [0.1, 0.0]


def test_frozen_parameters_are_left_out() -> None:
    frozen, trained = nn.Linear(4, 3).requires_grad_(False), nn.Linear(3, 2)
    (group,) = make_optimiser(nn.Sequential(frozen, trained), TrainSpec()).param_groups
    assert group["params"] == [trained.weight, trained.bias]


@pytest.mark.parametrize("decay_norm_and_bias", [True, False])
def test_adamw_on_two_parameters_equals_the_formula(decay_norm_and_bias: bool) -> None:
    """Loshchilov & Hutter 2019 (1711.05101), algorithm 2, in float64 by hand."""
    spec = TrainSpec(weight_decay=0.1, decay_norm_and_bias=decay_norm_and_bias)
    line = nn.Linear(1, 1)
    value = np.array([line.weight.item(), line.bias.item()])
    decay = np.array([0.1, 0.1 if decay_norm_and_bias else 0.0])
    optimiser = make_optimiser(line, spec)
    first, second = np.zeros(2), np.zeros(2)
    for step, (rate, x, y) in enumerate([(0.1, 2.0, 1.0), (0.2, -1.0, 3.0), (0.05, 0.5, 0.0)], 1):
        set_learning_rate(optimiser, rate)
        optimiser.zero_grad()
        (line(torch.tensor([[x]])) - y).square().sum().backward()
        optimiser.step()
        gradient = 2 * (value[0] * x + value[1] - y) * np.array([x, 1.0])
        first = 0.9 * first + 0.1 * gradient
        second = 0.95 * second + 0.05 * gradient**2
        unbiased = first / (1 - 0.9**step), second / (1 - 0.95**step)
        value = value * (1 - rate * decay) - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
        assert [line.weight.item(), line.bias.item()] == pytest.approx(value.tolist(), rel=2e-6)
