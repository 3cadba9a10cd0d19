"""Measure the generator: whether it copies its pool, and its speed."""

import time
from itertools import cycle, islice
from pathlib import Path

import torch
from torch import Tensor

from bench.miniworld.render import CLASSES
from bench.miniworld.training.fidelity import (
    SAMPLING_BATCH,
    SEED,
    class_prompts,
    generate,
    load_pipeline,
)

COPY_DISTANCE = 8.0
"""Below this, of 255, two images look the same; a shift of the exposure makes 4 to 12."""
TIMED_BATCHES = 2
CHUNK = 4_000


def measure_memorisation(generated: Tensor, real: Tensor, pool: Tensor) -> dict[str, object]:
    """Return how near generated images come to the pool, beside real images it does not hold.

    Args:
        generated: uint8 [n, height, width, 3].
        real: uint8 [m, height, width, 3].
        pool: uint8 [pool, height, width, 3].

    Returns:
        `generated` and `real`: `least`, `q05` and `median` of the distances, root mean square
        from 0 to 255; `copies`: the share of generated images nearer than `COPY_DISTANCE`.
    """
    distances = {"generated": nearest(generated, pool), "real": nearest(real, pool)}
    copies = (distances["generated"] < COPY_DISTANCE).float().mean()
    return {
        "copies": round(copies.item(), 4),
        **{
            name: {
                "least": round(nearest_of.min().item(), 2),
                "q05": round(nearest_of.quantile(0.05).item(), 2),
                "median": round(nearest_of.median().item(), 2),
            }
            for name, nearest_of in distances.items()
        },
    }


def nearest(images: Tensor, pool: Tensor) -> Tensor:
    """Return each image's distance to the nearest image of the pool or its mirror image.

    Args:
        images: uint8 [n, height, width, 3].
        pool: uint8 [pool, height, width, 3].

    Returns:
        Root mean square over pixels and channels, float32 [n], from 0 to 255.
    """
    # Both ways round: to mirror the few is to mirror the many.
    ours = _centred(torch.cat([images, images.flip(2)]))
    squares = ours.square().sum(1, keepdim=True)
    least = torch.full((len(ours),), torch.inf)
    for chunk in torch.split(pool, CHUNK):
        theirs = _centred(chunk)
        chunk_squares = squares + theirs.square().sum(1) - 2 * ours @ theirs.T
        least = torch.minimum(least, chunk_squares.amin(1))
    either = torch.minimum(*least.clamp(min=0).chunk(2))
    return (either / ours.shape[1]).sqrt()


def measure_speed(folder: Path) -> dict[str, float]:
    """Return how fast the pipeline of a folder samples, in single precision, after a warm-up."""
    pipeline = load_pipeline(folder)
    texts = [class_prompts(domain, name)[0] for domain, names in CLASSES.items() for name in names]
    prompts = list(islice(cycle(texts), TIMED_BATCHES * SAMPLING_BATCH))
    generate(pipeline, prompts[:SAMPLING_BATCH], SEED)
    start = time.perf_counter()
    generate(pipeline, prompts, SEED)
    seconds = time.perf_counter() - start
    return {"images_per_second": round(len(prompts) / seconds, 2), "images": len(prompts)}


def _centred(images: Tensor) -> Tensor:
    """Return images as rows of float32 around 0, where single precision loses less."""
    return images.flatten(1).float() - 127.5
