"""Whether float32 is computed in float32 on a GPU, or rounded to TF32."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def float32_products(*, tf32: bool = False) -> Iterator[None]:
    """Compute float32 products and convolutions in TF32, or rule it out; then restore what was.

    By default, torch rules it out in products and uses it in cuDNN's convolutions, of which a ViT's
    patches are one. TF32 has 10 bits instead of 23. These two settings are the ones that torch 2.9
    to 2.14 take without a warning and that torch.compile can read; its newer ones may not be mixed
    with them.
    """
    import torch

    matmul = torch.get_float32_matmul_precision()
    convolution = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution == "tf32"
