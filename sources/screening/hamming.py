"""Search among perceptual hashes by the number of differing bits; exact, in bounded memory."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sources.screening.phash import HASH_BITS, Hashes

_BANDS = 16
_BAND_BITS = HASH_BITS // _BANDS

_CHUNK = 4_096
"""Hashes compared with each other at once, by a matrix product of 64 MiB."""

_CANDIDATES = 4_000_000
"""Pairs that are checked at once; 32 MiB for each of the two indices."""

Indices = NDArray[np.int64]


def nearest(hashes: Hashes, references: Hashes) -> tuple[Indices, Indices]:
    """Return each hash's nearest reference and how many bits it is away.

    Time grows with the product of the two numbers: 1.4 s for 10,000 by 10,000 on a busy core.

    Args:
        hashes: uint64 ``[n, words]``.
        references: uint64 ``[m, words]``, m above zero.
    """
    places = np.zeros(len(hashes), np.int64)
    # Equal bits add one and others subtract one: whole numbers, which float32 holds.
    alike = np.full(len(hashes), -np.inf, np.float32)
    for columns in _slices(len(references)):
        right = _signs(references[columns]).T
        for rows in _slices(len(hashes)):
            products = _signs(hashes[rows]) @ right
            best = products.argmax(axis=1)
            most = products[np.arange(len(best)), best]
            closer = most > alike[rows]
            places[rows] = np.where(closer, best + columns.start, places[rows])
            alike[rows] = np.maximum(most, alike[rows])
    return places, ((HASH_BITS - alike) / 2).astype(np.int64)


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
        order = np.argsort(band, kind="stable")
        starts = np.searchsorted(band[order], np.arange(2**_BAND_BITS + 1))
        for flip in flips:
            pairs = [
                _close(hashes, left, right, max_distance)
                for left, right in _candidates(band ^ np.uint16(flip), starts, order)
            ]
            codes = np.unique(np.concatenate([codes, *pairs]))
    left, right = np.divmod(codes, len(hashes))
    return left, right, _distances(hashes, left, right)


def _bands(hashes: Hashes) -> NDArray[np.uint16]:
    """Return the hashes' bits, shuffled into 16 bands, ``[n, 16]``.

    Neighbouring bits agree more often than others do; apart, they fill the buckets evenly.
    """
    shuffled = _bits(hashes)[:, np.random.default_rng(0).permutation(HASH_BITS)]
    return np.ascontiguousarray(np.packbits(shuffled, axis=1)).view(np.uint16)


def _candidates(
    sought: NDArray[np.uint16], starts: Indices, order: Indices
) -> Iterator[tuple[Indices, Indices]]:
    """Yield pairs (i, j), i < j, of which j's band is what is sought for i."""
    low, high = starts[sought], starts[sought.astype(np.int64) + 1]
    ends = np.cumsum(high - low)
    start = 0
    while start < len(sought):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _CANDIDATES, side="right")))
        counts = (high - low)[start:stop]
        left = np.repeat(np.arange(start, stop), counts)
        within = np.arange(counts.sum()) - np.repeat(ends[start:stop] - counts - done, counts)
        right = order[np.repeat(low[start:stop], counts) + within]
        ordered = left < right
        yield left[ordered], right[ordered]
        start = stop


def _close(hashes: Hashes, left: Indices, right: Indices, max_distance: int) -> Indices:
    """Return the pairs (i, j) within a distance as numbers i * n + j."""
    apart = np.zeros(len(left), np.int64)
    for word in hashes.T:
        apart += np.bitwise_count(word[left] ^ word[right])
        # Of unrelated pairs few are left after the second of four words.
        near = apart <= max_distance
        left, right, apart = left[near], right[near], apart[near]
    return left * len(hashes) + right


def _distances(hashes: Hashes, left: Indices, right: Indices) -> Indices:
    apart = np.zeros(len(left), np.int64)
    for word in hashes.T:
        apart += np.bitwise_count(word[left] ^ word[right])
    return apart


def _signs(hashes: Hashes) -> NDArray[np.float32]:
    """Return the hashes' bits as plus and minus one, float32 ``[n, bits]``."""
    return np.float32(1) - 2 * _bits(hashes).astype(np.float32)


def _bits(hashes: Hashes) -> NDArray[np.uint8]:
    """Return zeros and ones, ``[n, bits]``."""
    return np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8), axis=1)


def _slices(total: int) -> Iterator[slice]:
    for start in range(0, total, _CHUNK):
        yield slice(start, min(start + _CHUNK, total))
