"""The two state-space blocks of MedVSR: across frames (CSSB) and inside a frame (the layer of ISSR)."""

from __future__ import annotations

import torch
from torch import nn

from basicsr_ssm.archs.cross_attention import CrossAttention, CrossLinearAttention
from basicsr_ssm.archs.layer_norm import LayerNorm
from basicsr_ssm.archs.mamba2 import CrossMamba2, InnerMamba2
from basicsr_ssm.archs.mlp import Mlp
from basicsr_ssm.ops import window_norm
from basicsr_ssm.ops.windows import to_map, to_tokens

CROSS_MIXERS = {
    'mamba2': CrossMamba2,
    'attention': lambda channels, window_size: CrossAttention(channels),
    'linear_attention': lambda channels, window_size: CrossLinearAttention(channels),
}


class CrossStateSpaceBlock(nn.Module):
    """CSSB (MedVSR, Sec. 3.3): x ← x + mixer(LN(x), LN_b(y)); x ← x + MLP(LN2(x)), in windows.

    Args:
        channels: C, a multiple of 16.
        window_size: side of the square windows, pixels.
        mixer: 'mamba2', 'attention' or 'linear_attention'.
    """

    def __init__(self, channels: int, window_size: int, mixer: str = 'mamba2'):
        super().__init__()
        self.window_size = window_size
        self.norm1 = LayerNorm(channels)
        self.norm1_b = LayerNorm(channels)
        self.mixer = CROSS_MIXERS[mixer](channels, window_size)
        self.norm2 = LayerNorm(channels)
        self.mlp = Mlp(channels, 4 * channels)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """x: neighbouring feature, y: distant feature (the control), both (n, C, h, w) → (n, C, h, w)."""
        mixed = self.mixer.mixed(self._normalized(x, self.norm1), self._normalized(y, self.norm1_b))
        return self.mlp(x, mixed, self.mixer.out_proj, self.norm2, self.window_size)

    def _normalized(self, feature: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
        return window_norm(feature, self.window_size, norm.weight, norm.bias, norm.eps)


class InnerStateSpaceBlock(nn.Module):
    """x ← x + mixer(LN(x)); x ← x + MLP(LN2(x)) on tokens (b, l, C)."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = LayerNorm(channels)
        self.mixer = InnerMamba2(channels)
        self.norm2 = LayerNorm(channels)
        self.mlp = Mlp(channels, 2 * channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mlp(x, self.mixer.mixed(self.norm1(x)), self.mixer.out_proj, self.norm2)


class InnerStateSpaceLayer(nn.Module):
    """The state-space layer of ISSR (MedVSR, Sec. 3.4): blocks in windows of a feature map (n, C, h, w).

    The tokens that pad the map's windows take part in all blocks.
    """

    def __init__(self, channels: int, window_size: int, depth: int = 1):
        super().__init__()
        self.window_size = window_size
        self.blocks = nn.Sequential(*(InnerStateSpaceBlock(channels) for _ in range(depth)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return to_map(self.blocks(to_tokens(x, self.window_size)), self.window_size, x)
