"""Spectra of frames: in full precision, and half of them, since those of real signals mirror themselves."""

from __future__ import annotations

import torch

NORMS = ('backward', 'ortho', 'forward')


def check_choice(name: str, value: object, known: tuple[str, ...]) -> None:
    """Raises ValueError for a value that is not among the known ones."""
    if value not in known:
        raise ValueError(f'{name}: unknown {value!r}; there are {", ".join(map(repr, known))}')


def check_pair(pred: torch.Tensor, target: torch.Tensor, axes: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Both in float32, or float64 where they are: half precision has too few digits for sums over a whole frame.

    Raises:
        ValueError: the shapes differ (nothing is broadcast), or have fewer axes than ``axes``.
    """
    if pred.shape != target.shape:
        raise ValueError(f'pred {(*pred.shape,)} and target {(*target.shape,)} differ in shape')
    if pred.dim() < axes:
        wanted = '(…, h, w)' if axes == 2 else '(…, c, h, w)'
        raise ValueError(f'expected {wanted}, got {(*pred.shape,)}')
    dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
    return pred.to(dtype), target.to(dtype)


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
