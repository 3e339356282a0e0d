"""Square windows of feature maps as token sequences."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange

from basicsr_ssm.ops.layout import has_channels_together


def windows_of(x: torch.Tensor, size: int) -> tuple[int, int]:
    """How many of `size`² pixels a map x (n, c, h, w) has: down, across; those at its edges may reach out of it."""
    return (x.shape[2] + size - 1) // size, (x.shape[3] + size - 1) // size


def to_tokens(x: torch.Tensor, size: int) -> torch.Tensor:
    """(n, c, h, w) → (n·windows, size², c): tokens row by row, windows row by row.

    The map is zero-padded right and below to whole windows first.
    """
    below, right = -x.shape[2] % size, -x.shape[3] % size
    if below or right:
        x = F.pad(x, (0, right, 0, below))
    return rearrange(x, 'n c (y i) (x j) -> (n y x) (i j) c', i=size, j=size)


def to_map(tokens: torch.Tensor, size: int, like: torch.Tensor) -> torch.Tensor:
    """The inverse of `to_tokens`, for a map `like` this one: (n, c, h, w), which lies in memory as it does."""
    height, width = like.shape[2:]
    down, across = windows_of(like, size)
    sides = dict(y=down, x=across, i=size)
    if has_channels_together(like):
        x = rearrange(tokens, '(n y x) (i j) c -> n (y i) (x j) c', **sides).permute(0, 3, 1, 2)
    else:
        x = rearrange(tokens, '(n y x) (i j) c -> n c (y i) (x j)', **sides).contiguous()
    return x[:, :, :height, :width]
