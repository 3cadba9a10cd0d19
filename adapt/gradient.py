"""The gradient of a batch, in one forward pass or in several of a part each."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from adapt.batches.ranks import RankBatch
from bench.plugins.objective import Batch, Objective

Scalars = dict[str, Tensor]


class Encoder(nn.Module):
    """An objective's encoding as a forward pass, which precision and processes are wrapped around.

    Args:
        objective: The objective, a module.
        compile: Whether torch.compile is used.
    """

    def __init__(self, objective: Any, *, compile: bool = False) -> None:  # noqa: A002, ANN401
        super().__init__()
        self.objective = objective
        self._encode = compiled(objective.encode) if compile else objective.encode

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Return the objective's encodings of a batch."""
        return dict(self._encode(batch, step))


def compiled(function: Any) -> Any:  # noqa: ANN401 (torch.compile has no types)
    """Return a compiled function of batches; wrappers of precision and processes stay outside.

    Full batches get a graph of their size. A last, shorter one makes a second, which then takes any
    size. Without `fallback_random`, a tower would drop other patches than without compilation.
    """
    # What earlier trainings of this process compiled would count towards torch's limit of eight.
    torch.compiler.reset()
    return torch.compile(function, options={"fallback_random": True})


class Gradient:
    """Adds up the gradients of batches.

    Where the images of a batch do not see each other, parts are independent. Where they do, all
    parts are encoded first, without a graph; the loss sees the whole batch; then each part is
    encoded again and given the loss's gradient (gradient caching, Gao 2021, section 3.2). So parts
    never change the negatives, as mere accumulation would.

    Args:
        objective: The objective.
        encoder: Its `Encoder`, prepared.
        accelerator: The processes and the device.
        coupled: Whether the images of a batch see each other.
    """

    def __init__(
        self, objective: Objective, encoder: nn.Module, accelerator: Accelerator, *, coupled: bool
    ) -> None:
        self._objective = objective
        self._encoder = encoder
        self._accelerator = accelerator
        self._coupled = coupled

    def add(self, rank_batch: RankBatch, batch: Batch, size: int, step: int) -> Scalars:
        """Add the gradient of this process's share of a batch, so many images at a time.

        Returns:
            This process's share of the loss and of what else is logged; shares add up.
        """
        parts = batch.split(size)
        if self._coupled and len(parts) > 1:
            return self._add_cached(rank_batch, batch, parts, step)
        totals: Scalars = {}
        for index, part in enumerate(parts):
            with self._synchronised(index == len(parts) - 1):
                encoded = self._encoder(part, step)
                shares = self._backward(encoded, rank_batch, part, step)
            totals = {name: totals.get(name, 0) + share for name, share in shares.items()}
        return totals

    def _add_cached(
        self, rank_batch: RankBatch, batch: Batch, parts: list[Batch], step: int
    ) -> Scalars:
        device, states, encodings = self._accelerator.device, [], []
        with torch.no_grad():
            for part in parts:
                states.append(_random_state(device))
                encodings.append(self._encoder(part, step))
        joined = _joined(encodings)
        del encodings
        shares = self._backward(joined, rank_batch, batch, step)
        done = dict.fromkeys(joined, 0)
        for index, (part, state) in enumerate(zip(parts, states, strict=True)):
            last = index == len(parts) - 1
            _set_random_state(device, state)
            with self._synchronised(last):
                encoded = self._encoder(part, step)
                pairs = []
                for name, one in joined.items():
                    slope = one.grad
                    if one.dim():
                        first = done[name]
                        done[name] = first + len(encoded[name])
                        slope = None if slope is None else slope[first : done[name]]
                    # A scalar is the same in all parts, and counts once.
                    if slope is not None and encoded[name].requires_grad and (one.dim() or last):
                        pairs.append((encoded[name], slope))
                torch.autograd.backward([one for one, _ in pairs], [one for _, one in pairs])
        return shares

    def _backward(
        self, encoded: Mapping[str, Tensor], rank_batch: RankBatch, batch: Batch, step: int
    ) -> Scalars:
        """Go backwards from the loss of some images; return their shares of what is logged."""
        losses = self._objective.loss(encoded, batch, step)
        weight = rank_batch.weight(len(batch))
        # Gradients are averaged over processes, but a batch's shares must be added up.
        self._accelerator.backward(losses["loss"] * weight * self._accelerator.num_processes)
        return {name: value.detach() * weight for name, value in losses.items()}

    def _synchronised(self, last: bool) -> AbstractContextManager[None]:
        """Return the context of a part; gradients are averaged over processes in the last."""
        return nullcontext() if last else self._accelerator.no_sync(self._encoder)


def _joined(encodings: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the encodings of all parts together, as leaves that take gradients."""
    first, *others = encodings
    joined = {
        name: torch.cat([value, *(other[name] for other in others)]) if value.dim() else value
        for name, value in first.items()
    }
    return {
        name: value.requires_grad_() if value.is_floating_point() else value
        for name, value in joined.items()
    }


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Return the states of the generators of the CPU and of the device."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), cuda


def _set_random_state(device: torch.device, state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
