"""How images look beside real ones: how much fine detail they have, and what CLIP sees in them.

An autoencoder or a generator may show every class right and still blur. An encoder that is adapted
on blurred images and tested on sharp ones then learns the blur.
"""

from collections.abc import Sequence
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.miniworld.training.clip import VALIDATION_BATCH, prepared, zero_shot_accuracy

FINE = 0.25
"""Cycles per pixel from which detail is fine: the finest octave that pixels can hold."""


def appearance(
    clip: Path, prompts: Sequence[Sequence[str]], labels: Tensor, real: Tensor, rebuilt: Tensor
) -> dict[str, float]:
    """Return what becomes of real images when they are encoded and decoded.

    Args:
        clip: Folder of the CLIP that studies adapt; it took no part in training the autoencoder.
        prompts: The prompts of each class.
        labels: int64 [n], indices into `prompts`.
        real: uint8 [n, 32, 32, 3].
        rebuilt: The same images, encoded and decoded.

    Returns:
        `fine_detail`, the power of rebuilt images' fine detail over that of the real ones;
        `cosine`, the mean cosine of an image's two embeddings; `zero_shot_real` and
        `zero_shot_rebuilt`, accuracies.
    """
    seen = [_embedded(clip, images) for images in (real, rebuilt)]
    return {
        "fine_detail": round(relative_detail(rebuilt, real), 4),
        "cosine": round(float((seen[0] * seen[1]).sum(1).mean()), 4),
        "zero_shot_real": zero_shot_accuracy(clip, prompts, real, labels),
        "zero_shot_rebuilt": zero_shot_accuracy(clip, prompts, rebuilt, labels),
    }


def relative_detail(images: Tensor, real: Tensor) -> float:
    """Return the power of images' fine detail over that of real ones, both uint8 [n, h, w, 3]."""
    ours, theirs = (fine_detail(one.permute(0, 3, 1, 2).float()) for one in (images, real))
    return ours / theirs


def fine_detail(images: Tensor) -> float:
    """Return the mean power of fine detail, which a blur takes away first.

    Args:
        images: float32 [n, channels, height, width], on any one scale.
    """
    height, width = images.shape[-2:]
    down, across = (torch.fft.fftfreq(size, device=images.device) for size in (height, width))
    fine = (down[:, None].square() + across.square()).sqrt() >= FINE
    spectrum = torch.fft.fft2(images, norm="ortho")
    return float(spectrum.abs().square()[..., fine].mean())


@torch.no_grad()
def _embedded(folder: Path, images: Tensor) -> Tensor:
    """Return the embeddings of uint8 images [n, 32, 32, 3], of length 1."""
    clip = open_clip.create_model(f"local-dir:{folder}").eval()
    batches = torch.split(prepared(images, clip.visual.image_size), VALIDATION_BATCH)
    return F.normalize(torch.cat([clip.encode_image(batch) for batch in batches]), dim=1)
