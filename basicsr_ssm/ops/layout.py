"""How images lie in memory."""

from __future__ import annotations

import torch


def has_channels_together(x: torch.Tensor) -> bool:
    """Whether the channels of a pixel of x (n, c, h, w) lie side by side; in a part of such an image they do, too."""
    return x.shape[1] > 1 and x.stride(1) == 1


def layout_of(x: torch.Tensor) -> torch.memory_format:
    """For a result that shall lie in memory as x (n, c, h, w) does."""
    return torch.channels_last if has_channels_together(x) else torch.contiguous_format
