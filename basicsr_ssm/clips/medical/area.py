"""Shrinking to any smaller size by area means, exact in every pixel, so that everybody gets the same bytes."""

from __future__ import annotations

from functools import cache
from math import gcd

import numpy as np


def area_mean(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Each output pixel is the mean of the input area that it covers, pixels on its border counted in part.

    With lengths in units of 1/size every weight is a whole number, and so is every sum: the result is the exact mean,
    ties rounded up, whatever the order of summation.

    Args:
        frame: uint8 (H, W, c).
        size: (h, w), 1 ≤ h ≤ H and 1 ≤ w ≤ W.

    Returns:
        uint8 (h, w, c).

    Raises:
        ValueError: another dtype or number of dimensions, or a size that enlarges.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3:
        raise ValueError(f'expected a uint8 frame (h, w, c), got {frame.dtype} {frame.shape}')
    if not (1 <= size[0] <= frame.shape[0] and 1 <= size[1] <= frame.shape[1]):
        raise ValueError(f'cannot shrink {frame.shape[:2]} to {tuple(size)} (height, width)')
    sums, total = frame, 1
    for axis, length in enumerate(size):
        if length != frame.shape[axis]:
            sums, weight = _sums(sums, axis, length)
            total *= weight
    return ((2 * sums.astype(np.int64) + total) // (2 * total)).astype(np.uint8)


def _sums(values: np.ndarray, axis: int, length: int) -> tuple[np.ndarray, int]:
    """Weighted sums along `axis`, and what the weights of one output add up to. Below 2**31 up to 8 megapixels."""
    places, weights, total = _taps(values.shape[axis], length)
    shape = [1, 1, 1]
    shape[axis] = length
    kind = np.int32 if 255 * values.shape[0] * values.shape[1] < 2**31 and values.dtype != np.int64 else np.int64
    result = 0
    for place, weight in zip(places, weights, strict=True):
        result = result + values.take(place, axis).astype(kind) * weight.reshape(shape).astype(kind)
    return result, total


@cache
def _taps(inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray, int]:
    """For each tap and output the input's number and its weight (taps, outputs), and the weights' total."""
    common = gcd(inputs, outputs)
    wide, narrow = inputs // common, outputs // common  # an output is `wide` units long, an input `narrow`
    left = np.arange(outputs) * wide
    places = left // narrow + np.arange((wide + narrow - 2) // narrow + 1)[:, None]
    weights = np.minimum(left + wide, (places + 1) * narrow) - np.maximum(left, places * narrow)
    return np.minimum(places, inputs - 1), np.maximum(weights, 0), wide
