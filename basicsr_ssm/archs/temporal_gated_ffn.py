"""The Temporal Gated Feed-forward Network of VSRM (Eq. 6, Fig. 3) and its ablations (Tab. 6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from basicsr_ssm.archs.layer_norm import LayerNorm
from basicsr_ssm.ops import depthwise_conv3d

FFNS = ('tgfn', 'ffn', 'tgfn_no_dwconv', 'tgfn_no_split')


class TemporalGatedFFN(nn.Module):
    """W²(DW₁ LN(X̂₁) ⊙ GELU(DW₂ LN(X̂₂))), X̂₁ and X̂₂ the halves of X̂ = W¹X; DW are 3×3×3 depthwise convolutions.

    Args:
        channels: C.
        hidden: channels of X̂, even.
        dwconv: with the convolutions; False leaves them out.
        split: each gate sees one half of X̂; False gives both all of it.
    """

    def __init__(self, channels: int, hidden: int, dwconv: bool = True, split: bool = True):
        super().__init__()
        self.split = split
        width = hidden // 2 if split else hidden
        self.fc1 = nn.Linear(channels, hidden)
        self.value, self.gate = (_NormConv(width, dwconv) for _ in range(2))
        self.fc2 = nn.Linear(width, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, t, h, w, C) → the same."""
        x = self.fc1(x)
        value, gate = x.chunk(2, dim=-1) if self.split else (x, x)
        return self.fc2(self.value(value) * F.gelu(self.gate(gate)))


class _NormConv(nn.Module):
    def __init__(self, channels: int, dwconv: bool):
        super().__init__()
        self.norm = LayerNorm(channels)
        self.conv = nn.Conv3d(channels, channels, 3, padding=1, groups=channels) if dwconv else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(x)
        return x if self.conv is None else depthwise_conv3d(x, self.conv.weight, self.conv.bias)


class FFN(nn.Sequential):
    """Linear, GELU, Linear: the plain feed-forward network of the ablation."""

    def __init__(self, channels: int, hidden: int):
        super().__init__(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))


def make_ffn(kind: str, channels: int, hidden: int) -> nn.Module:
    """`kind` is one of FFNS."""
    if kind == 'ffn':
        return FFN(channels, hidden)
    return TemporalGatedFFN(channels, hidden, dwconv=kind != 'tgfn_no_dwconv', split=kind != 'tgfn_no_split')
