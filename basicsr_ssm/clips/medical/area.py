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
    rows, weight_down = _sums(frame, size[0])
    columns, weight_across = _sums(rows.transpose(1, 0, 2), size[1], weight_down)
    total = weight_down * weight_across
    return np.floor(columns.transpose(1, 0, 2) / np.float64(total) + 0.5).astype(np.uint8)


def _sums(values: np.ndarray, length: int, scale: int = 1) -> tuple[np.ndarray, int]:
    """Weighted sums along the first axis of values up to 255·scale, and what the weights of one of them add up to.

    Neighbouring inputs repeat the pattern in which outputs cover them, so one small matrix serves all repetitions.
    """
    common = gcd(len(values), length)
    inputs, outputs = len(values) // common, length // common
    exact = np.float32 if 255 * scale * inputs < 2**24 else np.float64
    groups = np.ascontiguousarray(values, exact).reshape(common, inputs, -1)
    return np.matmul(_overlaps(inputs, outputs).astype(exact), groups).reshape(length, *values.shape[1:]), inputs


@cache
def _overlaps(inputs: int, outputs: int) -> np.ndarray:
    """(outputs, inputs): how much of input i output o covers, in units of which an input has `outputs`."""
    o, i = np.arange(outputs)[:, None] * inputs, np.arange(inputs) * outputs
    return np.maximum(0, np.minimum(o + inputs, i + outputs) - np.maximum(o, i))
