"""Image sets of smooth noise, which compresses about as photographs do."""

from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from bench.storage.image_codec import encode
from bench.storage.image_set import ImageSet
from bench.storage.tar_shards import ShardWriter
from tests.support.tiny_clip import colour_task


def write_pictures(
    data: Path, n: int, size: int, suffix: str, distinct: int | None = None
) -> ImageSet:
    """Write an image set of n pictures.

    Args:
        data: A new folder.
        n: Rows of the set.
        size: Pixels a side.
        suffix: The files' format.
        distinct: Files in the tar, which the rows take in turn; None for one a row.
    """
    task, packed, rows = colour_task(), [], []
    data.mkdir(parents=True)
    with ShardWriter(data / "00000.tar") as shard:
        for index in range(distinct or n):
            noise = np.random.default_rng(index)
            coarse = noise.integers(0, 256, (size // 8, size // 8, 3), np.uint8)
            image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
            packed.append(shard.add(f"{index:06d}", encode(image, suffix), suffix))
    for index in range(n):
        row = dict(packed[index % len(packed)])
        row |= {"key": f"{index:06d}", "shard": "00000.tar", "label": index % 3}
        row |= {"class_name": task.class_names[index % 3], "clip_score": 0.0}
        row |= dict.fromkeys(("caption", "origin", "url"), "")
        rows.append({**row, "seed": index, "width": size, "height": size})
    return ImageSet.write(data, pl.DataFrame(rows), task, "noise", {}, {})
