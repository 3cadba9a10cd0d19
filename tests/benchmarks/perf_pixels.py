"""Speed of keeping decoded images on disk against decoding them and forgetting them.

Usage: python tests/benchmarks/perf_pixels.py [--images 1000] [--size 1024x768] [--turns 3]

JPEGs are decoded, cropped to 224 pixels as CLIP's are, and kept; the floor is the same work with
all cores, its results dropped. Both are measured in turn. Then the kept images are read as an epoch
does, against preprocessing them anew. The goal for building is 0.9 of the floor.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from open_clip.transform import image_transform
from PIL import Image

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Split
from bench.runtime import threads
from bench.runtime.ahead import ahead
from bench.storage.image_codec import decode, encode
from eval.features.pixels import Preprocessing, kept_pixels, pixel_stage
from eval.features.task_images import BATCH_SIZE

_DISTINCT = 50


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", default="1024x768")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    split = _split(arguments.images, (width, height))
    halves = Preprocessing.of(image_transform(224, is_train=False))
    if halves is None:
        raise SystemExit("CLIP's preprocessing has changed")
    bare, built, epochs = [], [], []
    for _ in range(arguments.turns):
        bare.append(_measured(lambda: _decode(split, halves)))
        root = Path(tempfile.mkdtemp())
        home, quiet = Home(root), Progress(quiet=True)
        stage = pixel_stage(home.data, "task", split, halves, quiet)
        built.append(_measured(lambda: kept_pixels(stage, split, halves, quiet)))  # noqa: B023
        pixels = kept_pixels(stage, split, halves, quiet)
        epochs.append(_measured(lambda: _epoch(pixels, halves)))  # noqa: B023
        shutil.rmtree(root)
    print(f"{len(split):,} JPEGs of {arguments.size}, {threads.cores()} cores, the best of each")
    for name, taken in (("decode, bare", bare), ("decode and keep", built), ("epoch", epochs)):
        wall, cpu = np.min(taken, axis=0)
        floor, least = np.min(bare, axis=0)
        print(
            f"{name:<16} {len(split) / wall:6.0f} images/s, {1000 * cpu / len(split):.2f} ms of a "
            f"processor each; of the floor: {floor / wall:.2f}, {least / cpu:.2f}"
        )


def _split(n: int, size: tuple[int, int]) -> Split:
    """Return a split of JPEGs in memory, so that reading them costs nothing."""
    files = []
    for seed in range(_DISTINCT):
        coarse = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), np.uint8)
        files.append(encode(Image.fromarray(coarse).resize(size), ".jpg", 90))
    keys = [str(row) for row in range(n)]
    return Split("val", keys, np.zeros(n, np.int64), lambda row: decode(files[row % _DISTINCT]))


def _decode(split: Split, halves: Preprocessing) -> None:
    def cropped(row: int) -> np.ndarray:
        return np.asarray(halves.crop(split.read(row)))

    for _ in ahead(cropped, range(len(split)), BATCH_SIZE):
        pass


def _epoch(pixels: np.ndarray, halves: Preprocessing) -> None:
    for start in range(0, len(pixels), BATCH_SIZE):
        halves.normalised(pixels[start : start + BATCH_SIZE])


def _measured(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that some work takes, and those of all processors."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


if __name__ == "__main__":
    main()
