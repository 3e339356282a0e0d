"""How VSRM's alignments are called, and the one that does nothing.

A neighbour's feature is encoded once and used for every frame it is aligned to:
``align(target, align.encode(neighbour), flow)``.
"""

from __future__ import annotations

import torch
from torch import nn


class NoAlignment(nn.Module):
    """The neighbour's feature as it is: 'w/o Align.' of VSRM's ablation (Tab. 4)."""

    def encode(self, neighbour: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(n, C, h, w) → what `forward` wants of it."""
        return (neighbour,)

    def forward(
        self, target: torch.Tensor, neighbour: tuple[torch.Tensor, ...], flow: torch.Tensor | None
    ) -> torch.Tensor:
        """target: (n, C, h, w), present feature; flow (n, 2, h, w) from it to the neighbour → (n, C, h, w)."""
        return neighbour[0]


def pixel_grid(height: int, width: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """(height, width, 2), the (x, y) of every pixel."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device, dtype=dtype), torch.arange(width, device=device, dtype=dtype), indexing='ij'
    )
    return torch.stack([x, y], dim=-1)


def sampling_positions(flow: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each pixel lies in the neighbour, x′ = x + Δx (VSRM, Eq. 7), kept inside the frame.

    Args:
        flow: (n, 2, h, w), (dx, dy) in pixels.

    Returns:
        The whole part and the fraction of the positions, (n, h, w, 2) each, (x, y), in float32 or better. Gradients
        reach the flow through the fraction.
    """
    dtype = torch.promote_types(flow.dtype, torch.float32)  # in bfloat16 a position past 256 is off by a pixel
    height, width = flow.shape[2:]
    position = pixel_grid(height, width, flow.device, dtype) + flow.to(dtype).permute(0, 2, 3, 1)
    x, y = position.unbind(-1)
    position = torch.stack([x.clamp(0, width - 1), y.clamp(0, height - 1)], dim=-1)
    whole = position.detach().floor()
    return whole, position - whole


def gather_pixels(x: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """The pixels of x (n, h, w, c) at whole positions (n, …, 2), (x, y), edges repeated → (n, …, c)."""
    n, height, width, channels = x.shape
    # NaN, of a flow that is, reads pixel 0: it goes on in the fraction, and past the memory of x in an index
    column, row = whole[..., 0].clamp(0, width - 1).nan_to_num(0), whole[..., 1].clamp(0, height - 1).nan_to_num(0)
    index = row.long() * width + column.long()
    index = index.view(n, -1, 1).expand(-1, -1, channels)
    return x.reshape(n, height * width, channels).gather(1, index).view(*whole.shape[:-1], channels)
