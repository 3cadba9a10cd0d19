"""Recall and false positives of de-duplication, by transformation and distance.

Usage: python tests/benchmarks/dedup_recall.py [--images FOLDER] [--every 1]

Half of the images stand for a benchmark's, the other half for a pool's, and then the reverse. A
changed benchmark image should be recognised, an image of the pool should not. Without a folder, the
images are the miniature world's: test against train renders, and its pool's copies against the
truth about them.
"""

import argparse
import io
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, ImageEnhance, ImageOps

from bench.miniworld.pool import SPLITS, TruthRow, build_pool, image_of, read_truth, split_arrays
from bench.miniworld.render import CLASSES
from sources.screening.dedup import COPY_DISTANCE
from sources.screening.framings import framings
from sources.screening.hamming import pairs_within
from sources.screening.phash import HASH_SCHEMA, LEAST_SIDE, Hashes, hash_words, looks
from sources.screening.references import References, alike

DISTANCES = (16, 20, 24, 28, 31, 34, 40)
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


def corner(left: float, top: float, right: float, bottom: float) -> Change:
    """Cut off shares of the sides."""

    def change(image: Image.Image) -> Image.Image:
        width, height = image.size
        box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
        return image.resize(image.size, Image.Resampling.BICUBIC, box)

    return change


def border(share: float, colour: str, *, above: bool = False) -> Change:
    """Add a border, or bars above and below, and compress, which blurs its edge."""

    def change(image: Image.Image) -> Image.Image:
        width = max(1, round(share * image.width))
        return jpeg(90)(ImageOps.expand(image, (0, width) if above else width, colour))

    return change


def turned(angle: float, colour: str = "black", *, larger: bool = False) -> Change:
    """Turn anticlockwise about the middle; the corners are cut off, or all is kept."""
    return lambda image: image.rotate(
        angle, Image.Resampling.BICUBIC, expand=larger, fillcolor=colour
    )


def levelled(angle: float) -> Change:
    """Turn, and keep the middle that has no empty corner."""

    def change(image: Image.Image) -> Image.Image:
        short, long = sorted(image.size)
        sine, cosine = math.sin(math.radians(abs(angle))), math.cos(math.radians(angle))
        share = (1 - short / (long * sine + short * cosine)) / 2
        return corner(share, share, share, share)(turned(angle)(image))

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
    "crop 10 % on the left": corner(0.1, 0, 0, 0),
    "crop 8 % left and above": corner(0.08, 0.08, 0, 0),
    "crop 5 % right and below": corner(0, 0, 0.05, 0.05),
    "white border of 5 %": border(0.05, "white"),
    "black border of 2 %": border(0.02, "black"),
    "black border of 5 %": border(0.05, "black"),
    "black border of 15 %": border(0.15, "black"),
    "red border of 7 %": border(0.07, "#a03020"),
    "black bars of 12 % above and below": border(0.12, "black", above=True),
    "white bar of 8 % below": bar,
    "turned by 2.5 degrees, black corners": turned(2.5),
    "turned by 5 degrees, black corners": turned(5),
    "turned by -3.5 degrees, white corners": turned(-3.5, "white"),
    "turned by 5 degrees, all kept": turned(5, larger=True),
    "turned by 5 degrees, middle": levelled(5),
    "turned by -3.5 degrees, middle": levelled(-3.5),
    "mirrored, JPEG 75, crop 3 %": lambda image: ImageOps.mirror(jpeg(75)(crop(0.03)(image))),
}


def rows_of(images: Sequence[Image.Image]) -> pl.DataFrame:
    """Return key, a number, and hashes of images."""
    rows = [(index, *looks(image)) for index, image in enumerate(images)]
    return pl.DataFrame(rows, schema={"key": pl.Int64, **HASH_SCHEMA}, orient="row")


def framed(images: Sequence[Image.Image]) -> References:
    """Return images as a benchmark's."""
    shown = [framings(image) for image in images]
    names = pl.DataFrame({"framing": [names for names, _ in shown]}).with_row_index("image")
    hashes = np.concatenate([words for _, words in shown])
    return References(
        names.explode("framing").drop_nulls().with_columns(split=pl.lit("test")),
        hashes,
        pl.DataFrame(),
    )


def apart(images: Sequence[Image.Image], references: References) -> np.ndarray:
    """Return each image's distance to the nearest reference; infinite if it is none's copy."""
    rows = rows_of(images)
    found = alike(rows, references, max(DISTANCES)).select("key", "distance")
    joined = rows.select("key").join(found, on="key", how="left", maintain_order="left")
    return joined["distance"].cast(pl.Float64).fill_null(math.inf).to_numpy()


def shares(distances: np.ndarray) -> str:
    return " | ".join(f"{np.mean(distances <= distance):.3f}" for distance in DISTANCES)


def judge(name: str, halves: Sequence[Sequence[Image.Image]], every: int) -> None:
    """Print the recall of every change, and how many images pass for copies of the other half."""
    references = [framed(half) for half in halves]
    print(f"\n{name}: {' and '.join(str(len(half)) for half in halves)} images")
    print(f"| change | {' | '.join(map(str, DISTANCES))} |")
    print("|---|" + "---|" * len(DISTANCES))
    for label, change in CHANGES.items():
        parts = [
            apart([change(image) for image in half[::every]], own)
            for half, own in zip(halves, references, strict=True)
        ]
        print(f"| {label} | {shares(np.concatenate(parts))} |", flush=True)
    wrong = np.concatenate([apart(halves[at], references[1 - at]) for at in range(2)])
    counts = " | ".join(str(int((wrong <= distance).sum())) for distance in DISTANCES)
    print(f"| others taken for copies, of {len(wrong)} | {counts} |")


def judge_pool(world: Path) -> None:
    """Print how well the miniature pool's copies are found, by the truth about it."""
    rows = [row for row in read_truth(world) if row.domain in CLASSES and row.status == "ok"]
    for domain in CLASSES:
        own = [row for row in rows if row.domain == domain]
        shown = [Image.fromarray(image_of(row)) for row in own]
        tests = [Image.fromarray(image) for image in split_arrays(domain, "test")[0]]
        vals = [Image.fromarray(image) for image in split_arrays(domain, "val")[0]]
        distances = apart(shown, framed([*tests, *vals]))
        leaks = np.array([row.seed >= SPLITS["test"][1] for row in own])
        print(f"\n{domain}, {len(own)} images of its classes in the pool")
        print(f"| | {' | '.join(map(str, DISTANCES))} |\n|---|{'---|' * len(DISTANCES)}")
        print(f"| {leaks.sum()} leaks of test images, found | {shares(distances[leaks])} |")
        print(f"| {(~leaks).sum()} others, taken for leaks | {shares(distances[~leaks])} |")
        clean = distances > COPY_DISTANCE
        rest = [row for row, stays in zip(own, clean, strict=True) if stays]
        true, wrong, total = near_copies(rest, hash_words(rows_of(shown))[clean])
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
    for left, right, _ in zip(*pairs_within(unique, COPY_DISTANCE), strict=True):
        pairs += [(i, j) for i in groups[int(left)] for j in groups[int(right)]]
    true = {max(pair) for pair in pairs if names[pair[0]] == names[pair[1]]}
    wrong = {max(pair) for pair in pairs if names[pair[0]] != names[pair[1]]}
    return len(true), len(wrong - true), len(names) - len(set(names))


def photographs(folder: Path) -> Iterator[Image.Image]:
    """Yield the images that are large enough for a hash, as large as retrieval keeps them."""
    for path in sorted(folder.iterdir()):
        image = Image.open(path).convert("RGB")
        image.thumbnail((256, 256), Image.Resampling.LANCZOS)
        if min(image.size) >= LEAST_SIDE:
            yield image


def main() -> None:
    """Judge a folder's images, or the miniature world's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, help="folder of different images")
    parser.add_argument("--world", type=Path, help="where the miniature pool is, or goes")
    parser.add_argument("--every", type=int, default=1, help="change only each so many-th")
    arguments = parser.parse_args()
    if arguments.images:
        images = list(photographs(arguments.images))
        judge(arguments.images.name, [images[1::2], images[::2]], arguments.every)
        return
    for domain in CLASSES:
        halves = [
            [Image.fromarray(image) for image in split_arrays(domain, split)[0]]
            for split in ("test", "train")
        ]
        judge(domain, halves, arguments.every)
    if arguments.world:
        if not (arguments.world / "truth.parquet").is_file():
            build_pool(arguments.world)
        judge_pool(arguments.world)


if __name__ == "__main__":
    main()
