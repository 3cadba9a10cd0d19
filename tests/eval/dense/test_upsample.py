"""Classes of pixels are those of torch's bilinear interpolation."""

import pytest
import torch
from torch.nn import functional

from eval.dense import upsample


@pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 19), (3, 5), (1, 1), (64, 7)])
def test_classes_are_those_of_logits_that_torch_interpolates(
    height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.randn(
        6, 4, 5, generator=torch.Generator().manual_seed(height), dtype=torch.double
    )
    whole = functional.interpolate(
        logits[None], size=(height, width), mode="bilinear", align_corners=False
    )
    for at_once in (2**24, 1):  # All rows at a time, and one.
        monkeypatch.setattr(upsample, "_AT_ONCE", at_once)
        found = upsample.classes_of(logits, height, width)
        # Where two logits are one to rounding, either class is right.
        reached = whole[0].gather(0, found[None])[0]
        torch.testing.assert_close(reached, whole[0].amax(dim=0), atol=1e-6, rtol=0)
