"""Where a probe is fitted when memory is short."""

import pytest
import torch

from eval.probe.arrays import first_that_fits


def fits_on_the_cpu(device: str) -> str:
    if device == "cuda":
        raise torch.OutOfMemoryError("400 MB")
    return device


def test_a_probe_too_large_for_the_gpu_is_fitted_on_the_cpu_and_that_is_said() -> None:
    with pytest.warns(UserWarning, match="memory of cuda is too short .* going on with cpu"):
        assert first_that_fits(fits_on_the_cpu, ["cuda", "cpu"]) == "cpu"
    assert first_that_fits(str, ["cuda", "cpu"]) == "cuda"


@pytest.mark.parametrize(
    "said",
    [
        "cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnXsyevd(",
    ],
)
def test_what_cusolver_says_of_short_memory_is_understood(said: str) -> None:
    def work(device: str) -> str:
        if device == "cuda":
            raise RuntimeError(said)
        return device

    with pytest.warns(UserWarning, match="memory of cuda is too short"):
        assert first_that_fits(work, ["cuda", "cpu"]) == "cpu"


def test_memory_that_is_short_everywhere_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        first_that_fits(fits_on_the_cpu, ["cuda"])
