"""How features lie in memory."""

from __future__ import annotations

import torch


def channels_together(x: torch.Tensor) -> torch.Tensor:
    """x (n, c, h, w), on a GPU with the channels of a pixel side by side in memory: what follows keeps them so, and is
    spared a copy wherever convolutions and token operators take turns. Elsewhere x as it is."""
    return x.contiguous(memory_format=torch.channels_last) if x.is_cuda else x
