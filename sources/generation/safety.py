"""Ask a pipeline's own safety checker about images; the user decides what follows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image


class SafetyChecker:
    """The checker of a pipeline, taken out of it: there it would silently blacken images.

    Args:
        pipeline: A diffusers pipeline with a safety checker and its feature extractor.
    """

    def __init__(self, pipeline: Any) -> None:  # noqa: ANN401 (a diffusers pipeline)
        self._checker, self._features = pipeline.safety_checker, pipeline.feature_extractor
        pipeline.safety_checker = None

    def unsafe(self, images: Sequence[Image.Image]) -> list[bool]:
        """Return which images show one of the concepts that the checker knows."""
        import torch

        pixels = self._features(list(images), return_tensors="pt").pixel_values
        pixels = pixels.to(self._checker.device, self._checker.dtype)
        with torch.inference_mode():
            # It blackens what it is given, so it is given nothing of value.
            _, unsafe = self._checker(images=np.zeros((len(images), 1)), clip_input=pixels)
        return [bool(flag) for flag in unsafe]
