"""Run a network forward: in float32 proper, and without waiting for a GPU between batches."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bench.runtime.float32 import float32_products

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def forward_all(
    forward: "Callable[[Tensor], Tensor]", batches: "Iterable[Tensor]", device: "torch.device"
) -> "Tensor":
    """Return what a network makes of all batches, float32 ``[n, ...]``, on the CPU.

    A GPU computes a batch while the next is prepared. A result is awaited once the next batch is
    under way, so that two are in memory at most.

    Args:
        forward: A batch to its results, float ``[b, ...]``, on the device.
        batches: At least one, on the CPU.
        device: Where the network is.
    """
    import torch

    results: list[Tensor] = []
    under_way: deque[Callable[[], Tensor]] = deque()
    with torch.inference_mode(), float32_products():
        for batch in batches:
            under_way.append(_download(forward(_upload(batch, device)).float()))
            if len(under_way) > 1:
                results.append(under_way.popleft()())
        results.extend(arrive() for arrive in under_way)
    return torch.cat(results)


def stacked(images: "list[Tensor]", device: "torch.device") -> "Tensor":
    """Return images as one batch on the CPU, ready to be uploaded to a device."""
    import torch

    shape = len(images), *images[0].shape
    pinned = device.type == "cuda"
    return torch.stack(images, out=torch.empty(shape, dtype=images[0].dtype, pin_memory=pinned))


def _upload(batch: "Tensor", device: "torch.device") -> "Tensor":
    if device.type != "cuda":
        return batch.to(device)
    # From other memory, a copy waits for what the device does. It does nothing if it is pinned.
    return batch.pin_memory().to(device, non_blocking=True)


def _download(result: "Tensor") -> "Callable[[], Tensor]":
    """Begin to copy a result to the CPU; return a function that waits for the copy."""
    if result.device.type != "cuda":
        return result.cpu
    import torch

    copy = result.to("cpu", non_blocking=True)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record(torch.cuda.current_stream(result.device))

    def arrived() -> "Tensor":
        copied.synchronize()
        return copy

    return arrived
