"""CLIP's loss of images and their texts, some of which may be equal."""

from torch import Tensor

from adapt.losses.cross_entropy import group_cross_entropy
from adapt.losses.gather import gathered, gathered_ids, mean_over_all
from adapt.losses.rows import summed_rows, unit


def clip_loss(images: Tensor, texts: Tensor, groups: Tensor, *, scale: float | Tensor) -> Tensor:
    """Return the mean of both directions' cross-entropy: images to texts, and texts to images.

    Row i of both is a pair. The target of an image is uniform over the texts of its group, those of
    a text over the images of its group, of all processes. If all texts differ, this is CLIP's loss
    (Radford 2021, figure 3). With n images of every text it is StableRep's with language (Tian
    2023, code), plus half of log n: equal texts are n rows here, one there.

    Args:
        images: This process's embeddings, float ``[b, d]``, of any length; computed in float32 at
            least. All processes have as many.
        texts: The embeddings of their texts, float ``[b, d]``.
        groups: Equal for equal texts, int64 ``[b]``; they mean the same in all processes.
        scale: Cosines are multiplied by it: a temperature's inverse. A 0-dimensional tensor gets
            a gradient.

    Returns:
        A float scalar; its mean over processes is the mean over all pairs. It has no second
        derivative.
    """
    row_loss = group_cross_entropy(groups, gathered_ids(groups))
    normal_images, normal_texts = unit(images), unit(texts)
    to_texts, count = summed_rows(normal_images * scale, gathered(normal_texts), row_loss)
    to_images, _ = summed_rows(normal_texts * scale, gathered(normal_images), row_loss)
    return mean_over_all((to_texts + to_images) / 2, count)
