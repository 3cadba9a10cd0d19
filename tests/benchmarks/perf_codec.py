"""How long an image takes to be decoded, fitted and encoded, beside img2dataset's own resizer.

Usage: python tests/benchmarks/perf_codec.py [--turns 15]

Photographs are smooth noise, which compresses about as they do. Processor seconds of one thread.
"""

import argparse
import io
import time
from statistics import median

import numpy as np
from img2dataset.resizer import Resizer as OpenCvResizer
from PIL import Image

from bench.storage.image_codec import ImageFormat, encode
from sources.download.resizer import Resizer

SIZES = ((4000, 3000), (1600, 1200), (1024, 768), (640, 480), (300, 200))


def photograph(width: int, height: int) -> bytes:
    """Return a JPEG of smooth noise."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return encode(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), ".jpg")


def main() -> None:
    """Measure by turns and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15)
    turns = parser.parse_args().turns
    ours = Resizer(ImageFormat())
    theirs = OpenCvResizer(
        image_size=256, resize_mode="keep_ratio", resize_only_if_bigger=True, encode_quality=95
    )
    print("pixels | ours, ms | img2dataset, ms | ratio | ours, kB | img2dataset, kB")
    for size in SIZES:
        content = photograph(*size)
        taken: dict[object, list[float]] = {ours: [], theirs: []}
        kept: dict[object, int] = {}
        for _ in range(turns):
            for resize in (ours, theirs):
                start = time.process_time()
                kept[resize] = len(resize(io.BytesIO(content))[0] or b"")
                taken[resize].append(time.process_time() - start)
        mine, other = (1000 * median(taken[resize]) for resize in (ours, theirs))
        sizes = " | ".join(f"{kept[resize] / 1000:.1f}" for resize in (ours, theirs))
        print(f"{size[0]} x {size[1]} | {mine:.1f} | {other:.1f} | {mine / other:.2f} | {sizes}")


if __name__ == "__main__":
    main()
