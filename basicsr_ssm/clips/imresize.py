"""MATLAB's ``imresize(…, 'bicubic')`` for whole scales, exact in every pixel.

At a whole scale every weight of the cubic kernel (Keys, 1981, a = -0.5) is a fraction with a small common
denominator. With the weights as integers the pass down the columns is exact in float32 and the pass along the rows
would be in float64; it is done in float32, too, and the few results that its error could push over a rounding
boundary are computed again in float64. So the result is the mathematically exact one, whatever the order of
summation, and ties go up as in MATLAB. Each pass is a product with a small matrix that serves several neighbouring
outputs at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import gcd

import cv2
import numpy as np

SCALES = (2, 3, 4, 6, 8)

# Neighbouring groups of outputs that one matrix product computes: more waste multiplications with zeros, fewer calls.
_GROUPS_AT_ONCE = 4

# Blocks of rows that are converted to float at a time: what fits into the processor's cache.
_STRIP = 2


def imresize_bicubic(frame: np.ndarray, scale: int) -> np.ndarray:
    """Shrink as MATLAB's ``imresize(frame, 1/scale, 'bicubic')`` does, with antialiasing.

    Args:
        frame: uint8 (h, w, c) or (h, w), h and w ≥ `scale`. What exceeds a multiple of `scale` is cut off
            at the bottom and right first.
        scale: 2, 3, 4, 6 or 8.

    Returns:
        uint8 (h // scale, w // scale, c), or (h // scale, w // scale).

    Raises:
        ValueError: another dtype, number of dimensions, scale, or a frame smaller than `scale`.
    """
    _check(frame, scale)
    h, w = frame.shape[0] // scale, frame.shape[1] // scale
    if not h or not w:
        raise ValueError(f'a frame of {frame.shape[1]}x{frame.shape[0]} is too small for scale 1/{scale}')
    return _resize(frame[: h * scale, : w * scale], _shrinking(scale))


def imresize_bicubic_up(frame: np.ndarray, scale: int) -> np.ndarray:
    """Enlarge as MATLAB's ``imresize(frame, scale, 'bicubic')`` does: uint8 (h, w, c) → (scale·h, scale·w, c).

    Raises:
        ValueError: as imresize_bicubic.
    """
    _check(frame, scale)
    return _resize(frame, _enlarging(scale))


def _check(frame: np.ndarray, scale: int) -> None:
    if frame.dtype != np.uint8 or frame.ndim not in (2, 3) or 0 in frame.shape:
        raise ValueError(f'expected a uint8 frame (h, w, c) or (h, w), got {frame.dtype} {frame.shape}')
    if scale not in SCALES:
        raise ValueError(f'scale {scale} is not one of {", ".join(map(str, SCALES))}')


@dataclass(frozen=True, eq=False)  # by identity: there is one of each
class _Filter:
    """Along one axis: each `step` inputs give the next len(weights) outputs.

    weights[o, k] / denominator weighs input `step·group - lead + k` in output o of the group.
    """

    step: int
    lead: int
    weights: np.ndarray
    denominator: int


@cache
def _shrinking(scale: int) -> _Filter:
    # Output o lies at input scale·o + (scale - 1)/2 and sees what is nearer than 2·scale.
    first = (scale - 1) // 2 - 2 * scale + 1
    taps = np.arange(first, scale - first)
    return _reduced(scale, -first, _cubic(abs(2 * taps - (scale - 1)), scale)[None], 16 * scale**4)


@cache
def _enlarging(scale: int) -> _Filter:
    # Output o lies at input (o + 1/2)/scale - 1/2 and sees what is nearer than 2.
    taps, outputs = np.arange(-2, 3), np.arange(scale)[:, None]
    return _reduced(1, 2, _cubic(abs(2 * scale * taps + scale - 2 * outputs - 1), scale), 16 * scale**3)


def _cubic(m: np.ndarray, scale: int) -> np.ndarray:
    """The cubic kernel at distance m / (2·scale), times 16·scale³: whole numbers."""
    near = 3 * m**3 - 10 * scale * m**2 + 16 * scale**3
    far = -(m**3) + 10 * scale * m**2 - 32 * scale**2 * m + 32 * scale**3
    return np.where(m <= 2 * scale, near, np.where(m <= 4 * scale, far, 0))


def _reduced(step: int, lead: int, weights: np.ndarray, denominator: int) -> _Filter:
    common = gcd(denominator, *map(int, weights.flat))
    return _Filter(step, lead, weights // common, denominator // common)


@cache
def _block(filter: _Filter, groups: int, channels: int) -> np.ndarray:
    """The matrix that takes the inputs of `groups` neighbouring groups to their outputs, channels interleaved."""
    outputs, window = filter.weights.shape
    block = np.zeros((groups * outputs, (groups - 1) * filter.step + window), np.float32)
    for i in range(groups):
        block[i * outputs : (i + 1) * outputs, i * filter.step : i * filter.step + window] = filter.weights
    return np.kron(block, np.eye(channels, dtype=np.float32))


def _resize(frame: np.ndarray, filter: _Filter) -> np.ndarray:
    h, w = frame.shape[:2]
    channels = 1 if frame.ndim == 2 else frame.shape[2]
    down, across = _Line(h, filter), _Line(w, filter)
    rows = _filter_columns(frame.reshape(h, w * channels), filter, down, across, channels)
    block = _block(filter, across.groups, channels)
    sums = np.matmul(across.windows(rows, channels), np.ascontiguousarray(block.T))
    blocks, high = (_rounded(sums, filter, sign) for sign in (-1, 1))
    _settle(blocks, np.flatnonzero(blocks != high), rows, filter, channels)
    out = blocks.transpose(1, 0, 2).reshape(len(rows), -1, channels)[: down.outputs, : across.outputs]
    return np.ascontiguousarray(out).reshape(out.shape[: frame.ndim])


def _filter_columns(frame: np.ndarray, filter: _Filter, down: _Line, across: _Line, channels: int) -> np.ndarray:
    """uint8 (h, w·c) → float32 (outputs, padded w·c), 128 less and `denominator` times too large.

    Whole numbers below 2**24, so exact.
    """
    width, overlap = frame.shape[1], down.window - down.step
    block = _block(filter, down.groups, 1)
    strip = min(_STRIP, down.count)
    signed = np.empty((max(overlap, strip * down.step), width), np.uint8)
    inputs = np.empty((strip * down.step + overlap, width), np.float32)
    row, item = inputs.strides
    shape, strides = (strip, down.window, width), (down.step * row, row, item)
    windows = np.lib.stride_tricks.as_strided(inputs, shape, strides, writeable=False)
    rows = np.empty((down.count, len(block), sum(across.padding) * channels + width), np.float32)
    inside = rows[:, :, across.padding[0] * channels :][:, :, :width]

    def read(first: int, out: np.ndarray) -> None:
        # Flipping the top bit of a byte and reading it as signed subtracts 128: half the magnitude, half the error.
        flipped = np.bitwise_xor(down.take(frame, first, len(out)), 128, out=signed[: len(out)])
        np.copyto(out, flipped.view(np.int8))

    read(0, inputs[:overlap])
    for first in range(0, down.count, strip):
        n = min(strip, down.count - first)
        read(overlap + first * down.step, inputs[overlap : overlap + n * down.step])
        np.matmul(block, windows[:n], out=inside[first : first + n])
        inputs[:overlap] = inputs[strip * down.step :]
    rows = rows.reshape(-1, rows.shape[2])
    across.fill(rows.reshape(len(rows), -1, channels))
    return rows


def _rounded(sums: np.ndarray, filter: _Filter, sign: int) -> np.ndarray:
    """The sums as bytes, rounded after moving them by the largest possible error of float32.

    A sum of k products has an error of at most about k·2**-24 times the sum of their magnitudes (Higham, 2002,
    ch. 3), here below 256; scaling, adding and rounding to float32 are good for less than 8 products more.
    """
    error = (filter.weights.shape[1] + 8) * 2**-16
    flat, scale = sums.reshape(-1, sums.shape[2]), filter.denominator**-2
    return cv2.addWeighted(flat, scale, flat, 0, 128 + sign * error, dtype=cv2.CV_8U).reshape(sums.shape)


def _settle(blocks: np.ndarray, unsure: np.ndarray, rows: np.ndarray, filter: _Filter, channels: int) -> None:
    """Compute the flat places `unsure` of blocks (count, h, outputs·c) again, in float64, where every step is exact."""
    outputs, taps = filter.weights.shape
    for some in np.array_split(unsure, len(unsure) // 2**16 + 1):
        block, row, place = np.unravel_index(some, blocks.shape)
        column, channel = np.divmod(place, channels)
        group, output = np.divmod(block * (blocks.shape[2] // channels) + column, outputs)
        inputs = (group[:, None] * filter.step + np.arange(taps)) * channels + channel[:, None]
        sums = np.einsum('ij,ij->i', rows[row[:, None], inputs].astype(np.float64), filter.weights[output])
        blocks.reshape(-1)[some] = np.clip(np.floor(sums / filter.denominator**2 + 128.5), 0, 255)


class _Line:
    """How one axis of `length` inputs is cut into overlapping windows, each of which gives one block of outputs.

    Window number i starts at input `i·step` of the padded axis.
    """

    def __init__(self, length: int, filter: _Filter):
        outputs, window = filter.weights.shape
        total = length // filter.step
        self.groups = min(_GROUPS_AT_ONCE, total)
        self.count = -(-total // self.groups)
        self.outputs = total * outputs
        self.step = self.groups * filter.step
        self.window = (self.groups - 1) * filter.step + window
        self.padding = filter.lead, self.step * (self.count - 1) + self.window - filter.lead - length
        # Edge pixels are repeated in mirrored order, as MATLAB does at any distance.
        place = np.arange(-self.padding[0], length + self.padding[1]) % (2 * length)
        self.sources = np.minimum(place, 2 * length - 1 - place)

    def take(self, frame: np.ndarray, first: int, count: int) -> np.ndarray:
        """Rows first … first + count of the padded axis; a view where none of them is padding."""
        start = first - self.padding[0]
        if start >= 0 and start + count <= len(self.sources) - sum(self.padding):
            return frame[start : start + count]
        return frame[self.sources[first : first + count]]

    def fill(self, rows: np.ndarray) -> None:
        """Complete rows (h, padded w, c), of which only the inside is there yet."""
        before, after = self.padding
        inside = rows[:, before : rows.shape[1] - after]
        rows[:, :before] = inside[:, self.sources[:before]]
        rows[:, rows.shape[1] - after :] = inside[:, self.sources[len(self.sources) - after :]]

    def windows(self, rows: np.ndarray, channels: int) -> np.ndarray:
        """All windows along rows (h, w·c) as a view, (count, h, window·c)."""
        row, item = rows.strides
        shape = (self.count, len(rows), self.window * channels)
        return np.lib.stride_tricks.as_strided(rows, shape, (self.step * channels * item, row, item), writeable=False)
