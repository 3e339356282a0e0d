"""Dual Aggregation Mamba Blocks of VSRM (Sec. 4.2, Fig. 1) on volumes of frames (n, t, h, w, C)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from basicsr_ssm.archs.gated_mixers import GatedAttention, GatedConv3d, GatedWindowAttention
from basicsr_ssm.archs.layer_norm import LayerNorm
from basicsr_ssm.archs.mamba import VideoMamba
from basicsr_ssm.archs.temporal_gated_ffn import make_ffn
from basicsr_ssm.ops import conv2d

MIXERS = ('mamba', 'dwconv3d', 'conv3d', 'window_attention', 'full_attention')
T2S = ('forward', 'both', 'none')


@dataclass(frozen=True)
class BlockSettings:
    """What all blocks of a network have in common; see the arguments of VSRM."""

    embed_dim: int
    expand: float
    d_state: int
    d_conv: int
    ffn_ratio: float
    mixer: str
    t2s: str
    ffn: str
    attention_heads: int
    attention_window: int


class MambaBlock(nn.Module):
    """x ← x + Mixer(LN(x)); x ← x + TGFN(LN(x)): the S2TMB and the T2SMB (Fig. 1c, d).

    Args:
        s: settings.
        order: 's2t' or 't2s'.
        number: of the block in its DAMB; odd ones have shifted windows where the mixer has windows.
    """

    def __init__(self, s: BlockSettings, order: str, number: int):
        super().__init__()
        self.norm1 = LayerNorm(s.embed_dim)
        self.mixer = _make_mixer(s, order, number)
        self.norm2 = LayerNorm(s.embed_dim)
        self.ffn = make_ffn(s.ffn, s.embed_dim, round(s.ffn_ratio * s.embed_dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.mixer(self.norm1(x))
        return x + self.ffn(self.norm2(x))


def _make_mixer(s: BlockSettings, order: str, number: int) -> nn.Module:
    if s.mixer == 'mamba':
        direction = 'both' if order == 's2t' else s.t2s
        return VideoMamba(s.embed_dim, order, direction, s.expand, s.d_state, s.d_conv)
    if s.mixer == 'window_attention':
        return GatedWindowAttention(s.embed_dim, s.attention_heads, s.attention_window, shifted=number % 2 == 1)
    if s.mixer == 'full_attention':
        return GatedAttention(s.embed_dim, s.attention_heads)
    return GatedConv3d(s.embed_dim, depthwise=s.mixer == 'dwconv3d')


class DualAggregationMambaBlock(nn.Module):
    """DAMB: S2TMBs, one T2SMB, and two 3×3 convolutions, with a residual around them all.

    The paper draws the Mamba blocks only. The closing convolutions are those of the residual groups of the transformers
    it builds on; two of them give the number of parameters of its tables.

    Args:
        s: settings.
        depth: number of S2TMBs.
    """

    def __init__(self, s: BlockSettings, depth: int):
        super().__init__()
        blocks = [MambaBlock(s, 's2t', number) for number in range(depth)]
        if s.t2s != 'none':
            blocks.append(MambaBlock(s, 't2s', depth))
        self.blocks = nn.Sequential(*blocks)
        self.conv1 = nn.Conv2d(s.embed_dim, s.embed_dim, 3, padding=1)
        self.conv2 = nn.Conv2d(s.embed_dim, s.embed_dim, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.blocks(x).flatten(0, 1).permute(0, 3, 1, 2)
        out = conv2d(out, self.conv1.weight, self.conv1.bias, 'leaky_relu')
        residual = x.flatten(0, 1).permute(0, 3, 1, 2)
        out = conv2d(out, self.conv2.weight, self.conv2.bias, residual=residual)
        return out.permute(0, 2, 3, 1).unflatten(0, x.shape[:2])


class FeaturePropagationBlock(nn.Module):
    """The backbone of a branch: DAMBs on three frames; the centre one's output is what is propagated.

    Args:
        s: settings.
        depths: number of S2TMBs of each DAMB.
    """

    def __init__(self, s: BlockSettings, depths: tuple[int, ...]):
        super().__init__()
        self.dambs = nn.Sequential(*(DualAggregationMambaBlock(s, depth) for depth in depths))
        self.norm = LayerNorm(s.embed_dim)
        self.conv = nn.Conv2d(s.embed_dim, s.embed_dim, 3, padding=1)

    def forward(self, previous: torch.Tensor, current: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Aligned previous feature, present one, aligned one before the previous; (n, C, h, w) each → (n, C, h, w)."""
        x = torch.stack([v.permute(0, 2, 3, 1) for v in (previous, current, before)], dim=1)
        out = self.norm(self.dambs(x)[:, 1])
        return conv2d(out.permute(0, 3, 1, 2), self.conv.weight, self.conv.bias, residual=current)
