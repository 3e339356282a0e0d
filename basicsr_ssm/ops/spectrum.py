"""The 2D DFT of frames: half of it, since that of a real frame mirrors itself."""

from __future__ import annotations

import torch

NORMS = ('backward', 'ortho', 'forward')
"""Factors of the DFT of (h, w) values: none, 1/√(h·w), 1/(h·w)."""


def half_spectrum(frames: torch.Tensor, norm: str) -> torch.Tensor:
    """(…, h, w), real → its 2D DFT at the non-negative horizontal frequencies, complex (…, h, w // 2 + 1)."""
    return torch.fft.rfft2(frames, norm=norm)


def full_sum(values: torch.Tensor, width: int) -> torch.Tensor:
    """Sum over the whole (h, width) spectrum of values given on its half.

    The DFT of a real frame has X[-u, -v] = conj X[u, v]. Where the value at a frequency is that at its mirror image
    (anything of |X|, |Re X|, |Im X| is), each column counts twice, but for those that mirror themselves: the first and,
    for an even width, the last.

    Args:
        values: (…, h, width // 2 + 1).
        width: of the frame.

    Returns:
        (…).
    """
    total = 2 * values.sum((-2, -1)) - values[..., 0].sum(-1)
    return total - values[..., -1].sum(-1) if width % 2 == 0 else total


def hann_window(h: int, w: int, like: torch.Tensor) -> torch.Tensor:
    """The periodic 2D Hann window (h, w), with dtype and device of ``like``."""
    rows, columns = (torch.hann_window(size, dtype=like.dtype, device=like.device) for size in (h, w))
    return rows[:, None] * columns
