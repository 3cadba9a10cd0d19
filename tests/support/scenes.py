"""Small scenes with masks, in the layout of ADE20K's scene parsing benchmark."""

from pathlib import Path

import numpy as np
from PIL import Image

LEVELS = {0: 0, 1: 60, 2: 200, 3: 130}
"""How bright a label's pixels are."""


def write_scenes(folder: Path, *, training: int, validation: int) -> Path:
    """Write noisy scenes of a left and a right part with a frame of label 0, of several sizes."""
    for split, count in (("training", training), ("validation", validation)):
        for kind in ("images", "annotations"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            generator = np.random.default_rng([index, len(split)])
            mask = np.zeros((40 + 3 * (index % 4), 48), np.uint8)
            left, right = generator.permutation([1, 2, 3])[:2]
            mask[2:-2, 2:24], mask[2:-2, 24:-2] = left, right
            if index == 0:
                mask[10:14, 10:14] = 2
            levels = np.vectorize(LEVELS.get)(mask)[..., None] + generator.normal(
                0, 8, (*mask.shape, 3)
            )
            picture = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
            picture.save(folder / f"images/{split}/{index:05d}.jpg", quality=95)
            Image.fromarray(mask).save(folder / f"annotations/{split}/{index:05d}.png")
    return folder
