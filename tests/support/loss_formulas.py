"""The losses as their papers write them: a sum at a time, in float64, differentiable by torch."""

from collections.abc import Sequence

import torch
from torch import Tensor


def cosines(queries: Tensor, keys: Tensor) -> list[list[Tensor]]:
    """Return the cosine of each query with each key, float64."""

    def cosine(one: Tensor, other: Tensor) -> Tensor:
        return (one @ other) / ((one @ one) * (other @ other)).sqrt()

    return [[cosine(one, other) for other in keys.double()] for one in queries.double()]


def log_of_sum(values: Sequence[Tensor]) -> Tensor:
    """Return the logarithm of the sum of exponentials."""
    largest = max(value.detach() for value in values)
    return largest + sum((value - largest).exp() for value in values).log()  # type: ignore[union-attr]


def mean(values: Sequence[Tensor]) -> Tensor:
    """Return the mean; of nothing, 0."""
    return sum(values, torch.zeros((), dtype=torch.float64)) / max(len(values), 1)


def multi_positive(
    queries: Tensor,
    groups: Sequence[int],
    ids: Sequence[int],
    temperature: float,
    keys: tuple[Tensor, Sequence[int], Sequence[int]] | None = None,
) -> Tensor:
    """Return minus the mean log-probability of positives, averaged over queries that have some."""
    those, key_groups, key_ids = keys or (queries, groups, ids)
    losses = []
    for row, group, own in zip(cosines(queries, those), groups, ids, strict=True):
        allowed = [place for place, other in enumerate(key_ids) if other != own]
        positives = [place for place in allowed if key_groups[place] == group]
        if positives:
            whole = log_of_sum([row[place] / temperature for place in allowed])
            losses.append(mean([whole - row[place] / temperature for place in positives]))
    return mean(losses)


def pairwise_sigmoid(
    features: Tensor, groups: Sequence[int], temperature: float, *, count_self: bool = False
) -> Tensor:
    """Return the mean softplus of positives and of negatives, averaged over rows with positives."""
    losses = []
    for place, row in enumerate(cosines(features, features)):
        scaled = [cosine / temperature for cosine in row]
        alike = [other == groups[place] for other in groups]
        positives = [scaled[j] for j, same in enumerate(alike) if same and j != place]
        negatives = [scaled[j] for j, same in enumerate(alike) if not same]
        if positives:
            zero = torch.zeros((), dtype=torch.float64)
            attract = mean([log_of_sum([zero, -value]) for value in positives])
            repel = mean([log_of_sum([zero, value]) for value in negatives])
            if count_self:
                repel = repel * len(negatives) / (len(negatives) + 1)
            losses.append(attract + repel)
    return mean(losses)


def clip(images: Tensor, texts: Tensor, groups: Sequence[int], scale: float | Tensor) -> Tensor:
    """Return the mean of the cross-entropies of images with texts and of texts with images."""
    losses = []
    for rows in (cosines(images, texts), cosines(texts, images)):
        for row, group in zip(rows, groups, strict=True):
            scaled = [scale * cosine for cosine in row]
            aims = [scaled[place] for place, other in enumerate(groups) if other == group]
            losses.append(log_of_sum(scaled) - mean(aims))
    return mean(losses)


def ibot(student: Tensor, targets: Tensor, image: Sequence[int]) -> Tensor:
    """Return the mean over images of the mean cross-entropy of their tokens."""
    of_image: dict[int, list[Tensor]] = {}
    for logits, target, one in zip(student.double(), targets.double(), image, strict=True):
        whole = log_of_sum(list(logits))
        parts = [wanted * (whole - logit) for wanted, logit in zip(target, logits, strict=True)]
        of_image.setdefault(one, []).append(sum(parts, torch.zeros((), dtype=torch.float64)))
    return mean([mean(losses) for losses in of_image.values()])
