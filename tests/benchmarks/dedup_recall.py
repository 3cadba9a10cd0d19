"""Recall and false positives of de-duplication, by transformation and distance.

Usage: python tests/benchmarks/dedup_recall.py [--images FOLDER] [--every 1]

Half of the images stand for a benchmark's, the other half for a pool's. A transformed benchmark
image should be recognised, an image of the pool should not. Without a folder, the images are the
miniature world's: test against train renders, and its pool's copies against the truth about them.
"""

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from bench.miniworld.pool import SPLITS, TruthRow, build_pool, image_of, read_truth, split_arrays
from bench.miniworld.render import CLASSES
from bench.storage.packing import shrink
from sources.screening.dedup import POOL_DISTANCE, REFERENCE_DISTANCE
from sources.screening.hamming import nearest, pairs_within
from sources.screening.phash import LEAST_SIDE, Hashes, framings, perceptual_hash

DISTANCES = (16, 24, 31, 36, 40, 46, 52)
Change = Callable[[Image.Image], Image.Image]


def jpeg(quality: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        return Image.open(stream).convert("RGB")

    return change


def noisy(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image).astype(int)
    noise = np.random.default_rng(0).integers(-5, 6, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype("uint8"))


def crop(share: float, *, uneven: bool = False) -> Change:
    """Cut off a share at each side, or up to that share at random; at least a pixel in all."""
    rng = np.random.default_rng(0)

    def change(image: Image.Image) -> Image.Image:
        cuts = share * (rng.random(4) if uneven else np.ones(4))
        left, top, right, bottom = cuts * np.array(image.size * 2)
        box = (left, top, image.width - right, image.height - bottom)
        return image.resize(image.size, Image.Resampling.BICUBIC, box)

    return change


def bar(image: Image.Image) -> Image.Image:
    shown = image.copy()
    height = max(1, round(0.08 * image.height))
    shown.paste("white", (0, image.height - height, image.width, image.height))
    return shown


CHANGES: dict[str, Change] = {
    "JPEG, quality 75": jpeg(75),
    "JPEG, quality 40": jpeg(40),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)).resize(
        image.size
    ),
    "15 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "noise of 5 levels": noisy,
    "mirrored": ImageOps.mirror,
    "crop 3 % a side": crop(0.03),
    "crop 5 % a side": crop(0.05),
    "crop 10 % a side": crop(0.1),
    "crop 0 to 5 % a side": crop(0.05, uneven=True),
    "crop 0 to 10 % a side": crop(0.1, uneven=True),
    "white border of 5 %": lambda image: ImageOps.expand(image, round(0.05 * image.width), "white"),
    "black border of 5 %": lambda image: ImageOps.expand(image, round(0.05 * image.width)),
    "white bar of 8 % below": bar,
    "mirrored, JPEG 75, crop 3 %": lambda image: ImageOps.mirror(jpeg(75)(crop(0.03)(image))),
}


def hashes(images: Sequence[Image.Image]) -> Hashes:
    """Return the images' hashes, uint64 ``[n, 4]``."""
    words = [perceptual_hash(image) for image in images]
    return np.array(words, np.int64).view(np.uint64).reshape(-1, 4)


def framed(images: Sequence[Image.Image]) -> Hashes:
    """Return the hashes of the images in all framings."""
    return hashes([shown for image in images for _, shown in framings(image.convert("L"))])


def shares(apart: np.ndarray) -> str:
    return " | ".join(f"{np.mean(apart <= distance):.3f}" for distance in DISTANCES)


def judge(name: str, references: Sequence[Image.Image], others: Sequence[Image.Image]) -> None:
    """Print the recall of every change of the references, and how many others pass for copies."""
    plain, every = hashes(references), framed(references)
    head = " | ".join(map(str, DISTANCES))
    print(f"\n{name}: {len(references)} benchmark images, {len(others)} others")
    print(f"| change | {head} | {REFERENCE_DISTANCE}, unframed |")
    print("|---|" + "---|" * (len(DISTANCES) + 1))
    for label, change in CHANGES.items():
        changed = hashes([change(image) for image in references])
        alone = np.bitwise_count(changed ^ plain).sum(axis=1)
        recall = np.mean(alone <= REFERENCE_DISTANCE)
        print(f"| {label} | {shares(nearest(changed, every)[1])} | {recall:.2f} |")
    apart, unframed = nearest(hashes(others), every)[1], nearest(hashes(others), plain)[1]
    counts = " | ".join(str(int((apart <= distance).sum())) for distance in DISTANCES)
    print(f"| others taken for copies | {counts} | {int((unframed <= REFERENCE_DISTANCE).sum())} |")
    print(f"nearest others: {np.sort(apart)[:5]}")


def judge_pool(world: Path) -> None:
    """Print how well the miniature pool's copies are found, by the truth about it."""
    rows = [row for row in read_truth(world) if row.domain in CLASSES and row.status == "ok"]
    for domain in CLASSES:
        own = [row for row in rows if row.domain == domain]
        found = hashes([Image.fromarray(image_of(row)) for row in own])
        tests = [Image.fromarray(image) for image in split_arrays(domain, "test")[0]]
        vals = [Image.fromarray(image) for image in split_arrays(domain, "val")[0]]
        apart = nearest(found, framed([*tests, *vals]))[1]
        leaks = np.array([row.seed >= SPLITS["test"][1] for row in own])
        print(f"\n{domain}, {len(own)} images of its classes in the pool")
        print(f"| | {' | '.join(map(str, DISTANCES))} |\n|---|{'---|' * len(DISTANCES)}")
        print(f"| {leaks.sum()} leaks of test images, found | {shares(apart[leaks])} |")
        print(f"| {(~leaks).sum()} others, taken for leaks | {shares(apart[~leaks])} |")
        clean = apart > REFERENCE_DISTANCE
        rest = [row for row, stays in zip(own, clean, strict=True) if stays]
        true, wrong, total = near_copies(rest, found[clean])
        print(f"{total} second copies, {true} found; {wrong} others taken for copies")


def near_copies(rows: Sequence[TruthRow], found: Hashes) -> tuple[int, int, int]:
    """Return how many repeats are found, how many others are, and how many repeats there are."""
    unique, places = np.unique(found, axis=0, return_inverse=True)
    names = [(row.name, row.seed) for row in rows]
    pairs: list[tuple[int, int]] = []
    groups: dict[int, list[int]] = {}
    for row, place in enumerate(places.reshape(-1)):
        groups.setdefault(int(place), []).append(row)
    for group in groups.values():
        pairs += [(i, j) for i in group for j in group if i < j]
    for left, right, _ in zip(*pairs_within(unique, POOL_DISTANCE), strict=True):
        pairs += [(i, j) for i in groups[int(left)] for j in groups[int(right)]]
    true = {max(pair) for pair in pairs if names[pair[0]] == names[pair[1]]}
    wrong = {max(pair) for pair in pairs if names[pair[0]] != names[pair[1]]}
    return len(true), len(wrong - true), len(names) - len(set(names))


def photographs(folder: Path) -> Iterator[Image.Image]:
    """Yield the images that are large enough for a hash, as large as retrieval keeps them."""
    for path in sorted(folder.iterdir()):
        image = shrink(Image.open(path).convert("RGB"), 256)
        if min(image.size) >= LEAST_SIDE:
            yield image


def main() -> None:
    """Judge a folder's images, or the miniature world's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, help="folder of different images")
    parser.add_argument("--world", type=Path, help="where the miniature pool is, or goes")
    parser.add_argument("--every", type=int, default=1, help="only each so many-th image")
    arguments = parser.parse_args()
    if arguments.images:
        images = list(photographs(arguments.images))[:: arguments.every]
        judge(arguments.images.name, images[1::2], images[::2])
        return
    for domain in CLASSES:
        references, others = (
            [Image.fromarray(image) for image in split_arrays(domain, split)[0]]
            for split in ("test", "train")
        )
        judge(domain, references[:: arguments.every], others)
    if arguments.world:
        if not (arguments.world / "truth.parquet").is_file():
            build_pool(arguments.world)
        judge_pool(arguments.world)


if __name__ == "__main__":
    main()
