"""Losses of one batch that processes share, and what each of them computes on its part."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, distributed

from adapt.losses.clip import clip_loss
from adapt.losses.gather import process_count, process_rank
from adapt.losses.ibot import ibot_loss
from adapt.losses.multi_positive import multi_positive_loss
from adapt.losses.pairwise_sigmoid import pairwise_sigmoid_loss
from adapt.losses.sinkhorn import sinkhorn

ROWS = 12
IDS = torch.arange(ROWS)
MIXED = torch.tensor([0, 1, 0, 2, 1, 0, 3, 2, 4, 5, 1, 0])
LAST_ALONE = torch.tensor([0, 0, 1, 1, 0, 0, 2, 3, 4, 5, 6, 7])
"""All rows without positives are the last process's, of two or three."""
ACROSS = torch.arange(ROWS) % 6
"""Positives are in other processes alone, of two or three."""
IMAGE = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 3])
"""Which image each of nine tokens is of."""

Part = Callable[[Tensor, Tensor, slice], tuple[Tensor, ...]]
"""From a weight, a scale and the place of this process's rows to a loss, and what else there is."""


def normal(seed: int, *shape: int) -> Tensor:
    """Return normal numbers, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


IMAGES, OTHERS, LOGITS = normal(0, ROWS, 6), normal(1, ROWS, 6), normal(2, len(IMAGE), 6)


def _contrast(groups: Tensor, temperature: float = 0.1) -> Part:
    def part(weight: Tensor, scale: Tensor, rows: slice) -> tuple[Tensor, ...]:
        del scale
        encoded = IMAGES[rows] @ weight
        return multi_positive_loss(encoded, groups[rows], temperature=temperature, ids=IDS[rows])

    return part


def _single(weight: Tensor, scale: Tensor, rows: slice) -> tuple[Tensor, ...]:
    del scale
    encoded = (IMAGES[rows] @ weight).float()
    return multi_positive_loss(encoded, MIXED[rows], temperature=0.005, ids=IDS[rows])


def _keys(*, trained: bool) -> Part:
    def part(weight: Tensor, scale: Tensor, rows: slice) -> tuple[Tensor, ...]:
        del scale
        # Keys stand elsewhere than their queries, and there are half as many.
        places = torch.arange(ROWS).roll(5)[rows][::2]
        keys = OTHERS[places] @ (weight if trained else weight.detach())
        groups, ids = (every[places] for every in (MIXED, IDS))
        return multi_positive_loss(
            IMAGES[rows] @ weight, MIXED[rows], temperature=0.1, ids=IDS[rows],
            keys=keys, key_groups=groups, key_ids=ids,
        )  # fmt: skip

    return part


def _sigmoid(groups: Tensor, *, count_self: bool = False) -> Part:
    def part(weight: Tensor, scale: Tensor, rows: slice) -> tuple[Tensor, ...]:
        del scale
        encoded = IMAGES[rows] @ weight
        return pairwise_sigmoid_loss(encoded, groups[rows], temperature=0.1, count_self=count_self)

    return part


def _clip(weight: Tensor, scale: Tensor, rows: slice) -> tuple[Tensor, ...]:
    images, texts = IMAGES[rows] @ weight, OTHERS[rows] @ weight
    return (clip_loss(images, texts, MIXED[rows], scale=scale),)


def _ibot(owners: dict[int, list[int]], image: Tensor = IMAGE) -> Part:
    def part(weight: Tensor, scale: Tensor, rows: slice) -> tuple[Tensor, ...]:
        del scale, rows
        owner = torch.tensor(owners.get(process_count(), [0, 0, 0, 0]))
        here = owner[image] == process_rank()
        logits = LOGITS[: len(image)][here]
        # Other processes' images may have the same numbers.
        numbers = image[here] % 2 if process_count() == 3 else image[here]
        targets = sinkhorn(logits, temperature=0.1)
        return (ibot_loss(logits.flip(1) @ weight, targets, numbers),)

    return part


CASES: dict[str, Part] = {
    "mixed groups": _contrast(MIXED),
    "all lone anchors in one process": _contrast(LAST_ALONE),
    "positives in other processes alone": _contrast(ACROSS),
    "lone anchors alone": _contrast(IDS),
    "float32, tiny temperature": _single,
    "a teacher's keys": _keys(trained=False),
    "keys with gradient": _keys(trained=True),
    "sigmoid": _sigmoid(MIXED),
    "sigmoid, self counted, all lone in one process": _sigmoid(LAST_ALONE, count_self=True),
    "clip": _clip,
    "ibot, unequal numbers of tokens": _ibot({2: [0, 1, 1, 1], 3: [0, 0, 1, 2]}),
    "ibot, a process without tokens": _ibot({2: [1, 1, 1, 1], 3: [1, 1, 2, 2]}),
    "ibot, no token": _ibot({}, IMAGE[:0]),
}


def part_of(name: str) -> list[Tensor]:
    """Return this process's loss, gradients of weight and scale, and what else there is."""
    weight, scale = normal(3, 6, 6).requires_grad_(), normal(4).requires_grad_()
    share = ROWS // process_count()
    first = process_rank() * share
    loss, *more = CASES[name](weight, scale, slice(first, first + share))
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [
        torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in (weight, scale)
    ]
    return [loss.detach(), *gradients, *more]


def work(rank: int, folder: Path) -> None:
    """Be a process among three, two and one, and write what it computes: ``{processes}-{rank}``."""
    torch.set_num_threads(1)
    for processes in range(rank + 1, 4):
        distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/meeting-{processes}",
            rank=rank, world_size=processes, timeout=timedelta(minutes=2),
        )  # fmt: skip
        torch.save({name: part_of(name) for name in CASES}, folder / f"{processes}-{rank}")
        distributed.destroy_process_group()
