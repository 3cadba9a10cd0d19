"""The precision of a training: refused where a device lacks it, else set and then restored."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench.core.errors import RequestError

TF32_CAPABILITY = (8, 0)
"""Ampere; older cards take a request for TF32 and compute in float32 (CUDA programming guide)."""


def check_precision(precision: str, device: torch.device) -> None:
    """Check that a device supports a precision; on a CPU, accelerate ignores fp16.

    Raises:
        RequestError: If it does not.
    """
    cuda = device.type == "cuda"
    if precision in {"fp16", "tf32"} and not cuda:
        raise RequestError(
            f"train.precision={precision} needs a CUDA device", "use train.precision=bf16 or fp32"
        )
    if precision == "tf32" and torch.cuda.get_device_capability(device) < TF32_CAPABILITY:
        raise RequestError(
            f"train.precision=tf32 is not supported on {torch.cuda.get_device_name(device)}",
            "use train.precision=fp16 or fp32",
        )
    if precision == "bf16" and cuda and not torch.cuda.is_bf16_supported():
        raise RequestError(
            f"train.precision=bf16 is not supported on {torch.cuda.get_device_name(device)}",
            "use train.precision=fp16 or fp32",
        )


@contextmanager
def float32_products(*, tf32: bool) -> Iterator[None]:
    """Compute float32 products and convolutions in TF32, or rule it out; then restore what was.

    By default, torch rules it out in products and uses it in cuDNN's convolutions, of which a ViT's
    patches are one. These two settings are the ones that torch 2.9 to 2.14 take without a warning
    and that torch.compile can read; its newer ones may not be mixed with them.
    """
    matmul = torch.get_float32_matmul_precision()
    convolution = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution == "tf32"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error says that the device's memory is too short.

    Libraries that allocate beside torch's allocator say so in their own words.
    """
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(word in said for word in _ALLOCATION)


_ALLOCATION = (
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDA error: out of memory",
)
"""Of cuBLAS, of cuDNN 8 and 9, and of the CUDA runtime, as torch passes them on."""
