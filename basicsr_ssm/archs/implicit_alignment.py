"""Implicit alignment (IA) of IART, the neighbour of DCA in VSRM's ablation (Tab. 4)."""

from __future__ import annotations

import torch
from torch import nn

from basicsr_ssm.archs.alignment import gather_pixels, sampling_positions
from basicsr_ssm.archs.cross_mamba_alignment import reference_points
from basicsr_ssm.archs.position_encoding import sinusoids


class ImplicitAlignment(nn.Module):
    """Cross-attention of each pixel to the fixed window around its place in the neighbour (Xu et al., 2024, Sec. 3).

    Linear q, k and v, each of features plus sinusoidal position; keys and values are projected once per neighbour.

    Args:
        channels: C, a multiple of heads.
        reference_size: side of the window.
        heads: number of heads.
    """

    def __init__(self, channels: int, reference_size: int = 3, heads: int = 6):
        super().__init__()
        self.channels, self.heads = channels, heads
        self.register_buffer('points', reference_points(reference_size), persistent=False)
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)

    def encode(self, neighbour: torch.Tensor) -> tuple[torch.Tensor]:
        """(n, C, h, w) → keys and values, (n, h, w, 2C)."""
        x = neighbour.permute(0, 2, 3, 1)
        return (torch.cat([self.k_proj(x), self.v_proj(x)], dim=-1),)

    def forward(self, target: torch.Tensor, neighbour: tuple[torch.Tensor], flow: torch.Tensor) -> torch.Tensor:
        """target: (n, C, h, w); flow: (n, 2, h, w) from it to the neighbour → (n, C, h, w)."""
        whole, fraction = sampling_positions(flow)
        kv = gather_pixels(neighbour[0], whole.unsqueeze(-2) + self.points)  # (n, h, w, k, 2C)
        place = sinusoids(self.points, self.channels)
        k, v = (kv + torch.cat([place @ p.weight.T for p in (self.k_proj, self.v_proj)], dim=-1)).chunk(2, dim=-1)
        q = self.q_proj(target.permute(0, 2, 3, 1) + sinusoids(fraction, self.channels).to(target.dtype))
        q, k, v = (x.unflatten(-1, (self.heads, -1)) for x in (q.unsqueeze(-2), k, v))
        weights = (q * k).sum(-1, keepdim=True).mul(q.shape[-1] ** -0.5).softmax(dim=3)
        return (weights * v).sum(3).flatten(-2).permute(0, 3, 1, 2).to(target.dtype)
