"""The "BD" degradation of video super-resolution: Gaussian blur with σ = 1.6, then every fourth pixel.

As in the MATLAB script that BasicVSR's BDx4 data were made with (``BD_degradation.m``): a kernel of
2⌈3σ⌉ + 2 = 12 taps a side, edge pixels repeated, and samples at the centre between the second and the third pixel of
each block of four, so that LQ and GT pixels lie over each other as they do after bicubic down-sampling. (BasicSR's
``duf_downsample``, the convention of DUF, differs: 13 taps around the first pixel of each block, mirrored edges.)
"""

from __future__ import annotations

from functools import cache

import numpy as np

BD_SCALES = (4,)
SIGMA = 1.6


def blur_downsample(frame: np.ndarray, scale: int = 4) -> np.ndarray:
    """Shrink by blurring and sub-sampling; the same bytes on every machine.

    Args:
        frame: uint8 (h, w, c) or (h, w), h and w ≥ 4. What exceeds a multiple of 4 is cut off at the bottom and
            right first.
        scale: 4; the convention knows no other.

    Returns:
        uint8 (h // 4, w // 4, c), or (h // 4, w // 4); rounded, ties up.

    Raises:
        ValueError: another dtype, number of dimensions, scale, or a frame smaller than 4 pixels.
    """
    if scale not in BD_SCALES:
        raise ValueError(f'blur and down-sampling (BD) is defined for scale 4, not for {scale}')
    if frame.dtype != np.uint8 or frame.ndim not in (2, 3):
        raise ValueError(f'expected a uint8 frame (h, w, c) or (h, w), got {frame.dtype} {frame.shape}')
    h, w = (n // scale for n in frame.shape[:2])
    if not h or not w:
        raise ValueError(f'a frame of {frame.shape[1]}x{frame.shape[0]} is too small for scale 1/{scale}')
    frame = frame[: h * scale, : w * scale]
    blurred = _along_first(_along_first(frame, scale).swapaxes(0, 1), scale).swapaxes(0, 1)
    return np.ascontiguousarray(np.floor(blurred + 0.5).astype(np.uint8))


@cache
def _weights(scale: int) -> np.ndarray:
    half = int(np.ceil(3 * SIGMA)) + 1
    weights = np.exp(-((np.arange(2 * half) - half + 0.5) ** 2) / (2 * SIGMA**2))
    return weights / weights.sum()


def _along_first(values: np.ndarray, scale: int) -> np.ndarray:
    """(n, …) → float64 (n / scale, …)."""
    weights = _weights(scale)
    before = len(weights) // 2 - scale // 2  # the kernel's middle lies on that of the block
    padding = [(before, len(weights) - scale - before)] + [(0, 0)] * (values.ndim - 1)
    padded = np.pad(values, padding, mode='edge')
    blocks = len(values) // scale
    # One tap after the other: sums in a fixed order give the same last bit everywhere, which a matrix product does not.
    total = weights[0] * padded[: blocks * scale : scale]
    for tap, weight in enumerate(weights[1:], 1):
        total += weight * padded[tap : tap + (blocks - 1) * scale + 1 : scale]
    return total
