"""Finding frames that look the same although their bytes differ: coded again, moved a little in time or brightness."""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 32  # thumbnails that hashes are made of
FLAT = 4.0  # standard deviation, in levels, below which a frame shows nothing that could be recognised
NEAR_BITS = 8  # of 63; unrelated frames differ in some 30
NEAR_LEVELS = 5.0  # mean difference between thumbnails, their mean brightness apart

_AT_ONCE = 1 << 22  # comparisons


def thumbnail(gray: np.ndarray) -> np.ndarray:
    """uint8 (h, w) → uint8 (32, 32)."""
    return cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def perceptual_hash(small: np.ndarray) -> int | None:
    """63 bits of a thumbnail: which of its lowest DCT frequencies are above their median. None for a flat one."""
    if small.std() < FLAT:
        return None
    low = cv2.dct(small.astype(np.float32))[:8, :8].ravel()[1:]  # without the mean
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), 'big') >> 1


def near_pairs(a: np.ndarray, b: np.ndarray) -> list[tuple[int, int]]:
    """(i, j) for which the hashes a[i] and b[j], uint64, differ in at most NEAR_BITS bits."""
    pairs, step = [], max(1, _AT_ONCE // max(1, len(b)))
    for first in range(0, len(a), step):
        i, j = np.nonzero(_bits(a[first : first + step, None] ^ b[None]) <= NEAR_BITS)
        pairs += zip((i + first).tolist(), j.tolist(), strict=True)
    return pairs


def look_alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two thumbnails show the same."""
    difference = a.astype(np.float32) - b
    return float(np.abs(difference - difference.mean()).mean()) <= NEAR_LEVELS


def _bits(values: np.ndarray) -> np.ndarray:
    if hasattr(np, 'bitwise_count'):  # NumPy 2
        return np.bitwise_count(values)
    return np.unpackbits(values[..., None].view(np.uint8), axis=-1).sum(-1)
