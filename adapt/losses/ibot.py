"""iBOT's loss: a student sees what a teacher sees in the patches that were hidden from it."""

import torch
from torch import Tensor
from torch.nn import functional

from adapt.losses.gather import mean_over_all
from adapt.losses.rows import at_least_float32


def ibot_loss(student: Tensor, targets: Tensor, image: Tensor) -> Tensor:
    """Return the mean over masked images of the mean cross-entropy of their masked tokens.

    Args:
        student: Logits of this process's masked tokens, already over the temperature, float
            ``[m, prototypes]``; m may differ between processes, and be 0.
        targets: The teacher's distributions, which get no gradient, float ``[m, prototypes]``.
        image: Which image a token is of, int64 ``[m]``. All tokens of an image are in one process;
            another process's images are others, whatever their numbers.

    Returns:
        A float scalar in float32 at least: its mean over processes is the mean over all masked
        images, and 0 if there is none.
    """
    logits = at_least_float32(student)
    losses = functional.cross_entropy(logits, targets.detach().to(logits.dtype), reduction="none")
    images, which, tokens = torch.unique(image, return_inverse=True, return_counts=True)
    count = torch.tensor(len(images), device=student.device)
    return mean_over_all((losses / tokens[which]).sum(), count)
