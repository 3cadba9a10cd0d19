"""The trainings' parts that a user of the weights relies on."""

import json
from pathlib import Path

import torch

from bench.miniworld.oracle_training import _softened
from bench.miniworld.resumable_training import read_curve
from bench.miniworld.unet_training import training_times


def test_training_times_are_all_over_the_schedule_and_mostly_in_its_middle() -> None:
    times = training_times(20_000, torch.Generator().manual_seed(0))
    assert times.dtype == torch.int64
    assert 0 <= int(times.min()) < 20
    assert 950 < int(times.max()) <= 999
    middle = ((times >= 200) & (times < 700)).float().mean()
    assert middle > 0.6
    assert torch.equal(times, training_times(20_000, torch.Generator().manual_seed(0)))


def test_softened_images_keep_their_mean_and_lose_detail() -> None:
    noise = torch.Generator().manual_seed(1)
    images = torch.rand(64, 3, 32, 32, generator=noise).mul(2).sub(1)
    soft = _softened(images, torch.Generator().manual_seed(2))
    assert soft.shape == images.shape
    assert torch.allclose(soft.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=0.02)
    detail = [(one[..., 1:] - one[..., :-1]).abs().mean((1, 2, 3)) for one in (images, soft)]
    # A share drawn per image: some lose nearly nothing, others nearly all.
    kept = detail[1] / detail[0]
    assert kept.min() < 0.45
    assert kept.max() > 0.9


def test_of_a_learning_curves_lines_for_one_step_the_last_holds(tmp_path: Path) -> None:
    lines = [
        {"model": "a", "step": 1, "loss": 3.0},
        {"model": "b", "step": 1, "loss": 9.0},
        {"model": "a", "step": 2, "loss": 2.0},
        {"model": "a", "step": 1, "loss": 1.0},
    ]
    file = tmp_path / "curve.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_curve(file)
    assert [(line["model"], line["step"], line["loss"]) for line in found] == [
        ("a", 1, 1.0), ("b", 1, 9.0), ("a", 2, 2.0),
    ]  # fmt: skip
