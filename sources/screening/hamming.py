"""Search among perceptual hashes by the number of differing bits, in bounded memory."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sources.screening.phash import HASH_BITS, HASH_SIDE, Hashes

_BANDS = 16
_BAND_BITS = HASH_BITS // _BANDS

_SAMPLES = 16
_SAMPLE_BITS = 20
_LOW = 8
"""Samples are of the 8 x 8 lowest frequencies, of which few change. Their number and size were
measured on photographs changed in 27 ways: 0.1 % of the copies within 31 bits are missed."""

_PLACE_BITS = 40
"""There are fewer than 2**40 hashes."""

_CANDIDATES = 4_000_000
"""Pairs that are checked at once; 32 MiB for each of the two indices."""

Indices = NDArray[np.int64]


def nearest(hashes: Hashes, references: Hashes, max_distance: int) -> tuple[Indices, Indices]:
    """Return each hash's nearest reference within a distance, and how many bits it is away.

    Bits are sampled: two hashes are compared if they agree in all 20 bits of one of 16 samples
    (locality-sensitive hashing). Equal hashes always do; tests/benchmarks/dedup_recall.py measures
    how many copies do.

    Args:
        hashes: uint64 ``[n, words]``.
        references: uint64 ``[m, words]``.
        max_distance: Differing bits allowed.

    Returns:
        The place among the references, the first of equally near ones, or -1; and the distance,
        `HASH_BITS` + 1 where there is none.
    """
    # Distance and place as one number, of which the least is kept.
    best = np.full(len(hashes), HASH_BITS + 1 << _PLACE_BITS)
    for bits in samples():
        order, starts = _buckets(keys(references, bits), 2 ** len(bits))
        for left, right in _candidates(keys(hashes, bits), starts, order):
            near, places, apart = _within(hashes, references, left, right, max_distance)
            np.minimum.at(best, near, apart << _PLACE_BITS | places)
    apart, places = np.divmod(best, 2**_PLACE_BITS)
    return np.where(apart > HASH_BITS, -1, places), apart


def pairs_within(hashes: Hashes, max_distance: int) -> tuple[Indices, Indices, Indices]:
    """Return every pair of distinct hashes that differ in few bits: both places, the distance.

    The bits are cut into 16 bands. By the pigeonhole principle a pair within d bits agrees in some
    band up to d // 16 bits, so only hashes in the same or a neighbouring bucket are compared.

    Args:
        hashes: uint64 ``[n, words]``, no two equal.
        max_distance: Differing bits allowed; below 32, as the work grows 8-fold beyond.
    """
    bands = _bands(hashes)
    flips = [
        sum(1 << bit for bit in bits)
        for count in range(max_distance // _BANDS + 1)
        for bits in combinations(range(_BAND_BITS), count)
    ]
    # A pair as one number: it is found again in other bands, and kept once.
    codes = np.empty(0, np.int64)
    for band in bands.T:
        order, starts = _buckets(band, 2**_BAND_BITS)
        for flip in flips:
            pairs = [codes]
            for left, right in _candidates(band ^ np.uint16(flip), starts, order):
                once = left < right
                near = _within(hashes, hashes, left[once], right[once], max_distance)
                pairs.append(near[0] * len(hashes) + near[1])
            codes = np.unique(np.concatenate(pairs))
    left, right = np.divmod(codes, len(hashes))
    return left, right, _within(hashes, hashes, left, right, max_distance)[2]


def _bands(hashes: Hashes) -> NDArray[np.uint16]:
    """Return the hashes' bits, shuffled into 16 bands, ``[n, 16]``.

    Neighbouring bits agree more often than others do; apart, they fill the buckets evenly.
    """
    shuffled = _bits(hashes)[:, np.random.default_rng(0).permutation(HASH_BITS)]
    return np.ascontiguousarray(np.packbits(shuffled, axis=1)).view(np.uint16)


def samples() -> list[Indices]:
    """Return the places of the bits of each sample; the sign of the mean says nothing."""
    low = [row * HASH_SIDE + column for row in range(_LOW) for column in range(_LOW)][1:]
    rng = np.random.default_rng(0)
    return [rng.choice(low, _SAMPLE_BITS, replace=False) for _ in range(_SAMPLES)]


def keys(hashes: Hashes, bits: Indices) -> Indices:
    """Return some bits of each hash as a number."""
    found = np.zeros(len(hashes), np.int64)
    for place, bit in enumerate(bits.tolist()):
        word, shift = divmod(bit, 64)
        # Move the bit from where it is in its word to where it is in the number.
        moved = hashes[:, word] >> np.uint64(63 - shift) & np.uint64(1)
        found |= (moved << np.uint64(place)).view(np.int64)
    return found


def _buckets(found: NDArray[np.integer[Any]], buckets: int) -> tuple[Indices, Indices]:
    """Return places in order of their key, and where among those each key's bucket starts."""
    starts = np.zeros(buckets + 1, np.int64)
    np.cumsum(np.bincount(found, minlength=buckets), out=starts[1:])
    # As one number each, whose sorting takes a tenth of the time of argsort.
    ordered = np.sort(found.astype(np.int64) << _PLACE_BITS | np.arange(len(found)))
    return ordered & 2**_PLACE_BITS - 1, starts


def _candidates(
    sought: NDArray[np.integer[Any]], starts: Indices, order: Indices
) -> Iterator[tuple[Indices, Indices]]:
    """Yield pairs (i, j) of which j is in the bucket that is sought for i."""
    low, high = starts[sought], starts[sought.astype(np.int64) + 1]
    ends = np.cumsum(high - low)
    start = 0
    while start < len(sought):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _CANDIDATES, side="right")))
        counts = (high - low)[start:stop]
        left = np.repeat(np.arange(start, stop), counts)
        within = np.arange(counts.sum()) - np.repeat(ends[start:stop] - counts - done, counts)
        yield left, order[np.repeat(low[start:stop], counts) + within]
        start = stop


def _within(
    hashes: Hashes, others: Hashes, left: Indices, right: Indices, max_distance: int
) -> tuple[Indices, Indices, Indices]:
    """Return those of the pairs (i, j) within a distance, and how many bits they are apart."""
    apart = np.zeros(len(left), np.int64)
    for word in range(hashes.shape[1]):
        apart += np.bitwise_count(hashes[left, word] ^ others[right, word])
        # Of unrelated pairs few are left after the second of four words.
        near = apart <= max_distance
        left, right, apart = left[near], right[near], apart[near]
    return left, right, apart


def _bits(hashes: Hashes) -> NDArray[np.uint8]:
    """Return zeros and ones, ``[n, bits]``."""
    return np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8), axis=1)
