"""The multi-positive loss as one writes it first: whole matrices, torch's gradient."""

from torch import Tensor
from torch.nn import functional


def plain_multi_positive(features: Tensor, groups: Tensor, temperature: float) -> Tensor:
    """Return the loss of features ``[b, d]`` whose groups ``[b]`` all have two rows or more."""
    normal = functional.normalize(features, dim=1)
    logits = (normal @ normal.T / temperature).fill_diagonal_(-1e9)
    positives = (groups[:, None] == groups).to(logits.dtype).fill_diagonal_(0)
    return functional.cross_entropy(logits, positives / positives.sum(1, keepdim=True))
