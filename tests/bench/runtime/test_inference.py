"""Forward passes: precision and order."""

import pytest
import torch

from bench.runtime.float32 import float32_products
from bench.runtime.inference import forward_all, stacked

CPU = torch.device("cpu")


def precisions() -> tuple[str, bool]:
    """Return the precision of products, and whether convolutions round to TF32."""
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("before", ["high", "highest"])
def test_float32_is_float32_in_the_block_alone(before: str) -> None:
    set_before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(before)
        outside = precisions()
        with float32_products(tf32=True):
            assert precisions() == ("high", True)
        with float32_products():
            assert precisions() == ("highest", False)
        assert precisions() == outside
    finally:
        torch.set_float32_matmul_precision(set_before)


def test_results_are_in_order_and_float32() -> None:
    batches = [torch.full((size, 2), float(size)) for size in (3, 1, 2)]
    made = forward_all(lambda batch: batch.half() * 2, iter(batches), CPU)
    assert made.dtype == torch.float32
    assert made[:, 0].tolist() == [6, 6, 6, 2, 4, 4]
    assert torch.equal(stacked(list(batches[0]), CPU), batches[0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    network = torch.nn.Conv2d(3, 8, 3)
    batches = [torch.randn(size, 3, 32, 32) for size in (16, 16, 3)]
    expected = forward_all(network, batches, CPU)
    device = torch.device("cuda")
    found = forward_all(network.to(device), batches, device)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
