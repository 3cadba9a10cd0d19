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


def test_memory_that_is_short_everywhere_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        first_that_fits(fits_on_the_cpu, ["cuda"])
