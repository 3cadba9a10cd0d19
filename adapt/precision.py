"""Which precisions a device can train in."""

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
    # Cards before Ampere emulate it, slower than float32.
    if precision == "bf16" and cuda and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise RequestError(
            f"train.precision=bf16 is not supported on {torch.cuda.get_device_name(device)}",
            "use train.precision=fp16 or fp32",
        )
