"""How long the search for copies of benchmark images takes.

Usage: python tests/benchmarks/perf_dedup.py [--images 341000] [--references 6666]

Hashes are random: of every image as it is, mirrored, and for half of them without a border; of
every reference in 800 framings, which differ from it in 30 % of the bits, more than real ones do in
the lowest frequencies. One image in a hundred is a copy. The floor is reading each framing that is
compared, and its image, and counting the bits that differ.
"""

import argparse
import time

import numpy as np

from sources.screening import hamming
from sources.screening.dedup import COPY_DISTANCE
from sources.screening.phash import Hashes

FRAMINGS = 800


def random(rng: np.random.Generator, rows: int) -> Hashes:
    return rng.integers(0, 2**64, (rows, 4), np.uint64)


def flipped(rng: np.random.Generator, hashes: Hashes, share: float) -> Hashes:
    """Return hashes of which a share of the bits is changed, in steps of 1 / 16."""
    changes = np.zeros_like(hashes)
    for bit in f"{round(share * 16):04b}"[::-1]:
        noise = random(rng, len(hashes))
        changes = changes | noise if bit == "1" else changes & noise
    return hashes ^ changes


def main() -> None:
    """Print the seconds of each part, and their ratio to the floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=341_000)
    parser.add_argument("--references", type=int, default=6_666)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    plain = random(rng, arguments.references)
    references = flipped(rng, np.repeat(plain, FRAMINGS, axis=0), 5 / 16)
    images = random(rng, arguments.images * 3)
    copies = rng.choice(len(images), len(images) // 300, replace=False)
    images[copies] = flipped(rng, rng.choice(references, len(copies)), 1 / 16)
    started = time.perf_counter()
    places, _ = hamming.nearest(images, references, COPY_DISTANCE)
    seconds = time.perf_counter() - started
    compared = 0
    for bits in hamming.samples():
        counts = np.bincount(hamming.keys(references, bits), minlength=2 ** len(bits))
        compared += int(counts[hamming.keys(images, bits)].sum())
    some = np.resize(references, (4_000_000, 4))
    started = time.perf_counter()
    np.bitwise_count(some ^ some[::-1]).sum(axis=1)
    floor = (time.perf_counter() - started) * compared / len(some)
    print(
        f"{arguments.images:,} images, {len(references):,} framings: {seconds:.1f} s, one process"
    )
    print(f"{compared:,} pairs compared, {seconds / floor:.1f} times the floor of {floor:.1f} s")
    print(f"{np.mean(places[copies] >= 0):.4f} of {len(copies)} copies found")


if __name__ == "__main__":
    main()
