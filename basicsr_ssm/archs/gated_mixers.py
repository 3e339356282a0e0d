"""What takes the place of the scans in the ablation of VSRM's Mamba modules (Tab. 3).

The paper names the replacements only. Here they stand where the scan stands in Eq. 4, between the linear projections
and under the gate: out = Linear(f(Linear(X)) ⊙ SiLU(Linear(X))), at the width C. With attention that gives the paper's
number of parameters.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from basicsr_ssm.ops import depthwise_conv3d


class GatedMixer(nn.Module):
    """Projections and gate around `mix`, which subclasses give. (n, t, h, w, C) → the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.in_proj = nn.Linear(channels, 2 * channels)
        self.out_proj = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, z = self.in_proj(x).chunk(2, dim=-1)
        return self.out_proj(self.mix(x) * F.silu(z))

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class GatedConv3d(GatedMixer):
    """3×3×3 convolution and SiLU.

    Args:
        channels: C.
        depthwise: one filter a channel, or every channel from all.
    """

    def __init__(self, channels: int, depthwise: bool):
        super().__init__(channels)
        self.depthwise = depthwise
        self.conv = nn.Conv3d(channels, channels, 3, padding=1, groups=channels if depthwise else 1)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        if self.depthwise:
            return F.silu(depthwise_conv3d(x, self.conv.weight, self.conv.bias))
        return F.silu(self.conv(x.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1))


class GatedAttention(GatedMixer):
    """Softmax attention over all tokens of the clip.

    Args:
        channels: C, a multiple of heads.
        heads: number of heads.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__(channels)
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        return self.attend(self.qkv(x).flatten(1, 3)).view(x.shape)

    def attend(self, qkv: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
        """(b, l, 3C) → (b, l, C); `allowed` (b, 1, 1, l) says which tokens may be looked at."""
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed).transpose(1, 2).flatten(2)


class GatedWindowAttention(GatedAttention):
    """Softmax attention inside windows of all frames × size × size pixels, after Swin (Liu et al., 2021).

    Args:
        channels: C, a multiple of heads.
        heads: number of heads.
        size: side of the windows, LR pixels.
        shifted: the grid of windows starts half a window outside the frame, so that it cuts elsewhere.
    """

    def __init__(self, channels: int, heads: int, size: int, shifted: bool):
        super().__init__(channels, heads)
        self.size, self.shift = size, size // 2 if shifted else 0

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        n, t, h, w, _ = x.shape
        before, size = self.shift, self.size
        below, right = -(h + before) % size, -(w + before) % size
        qkv = F.pad(self.qkv(x), (0, 0, before, right, before, below))
        inside = F.pad(qkv.new_ones((1, t, h, w, 1), dtype=torch.bool), (0, 0, before, right, before, below))
        rows, columns = qkv.shape[2] // size, qkv.shape[3] // size

        def windows(v: torch.Tensor) -> torch.Tensor:  # (n, t, H, W, c) → (n·rows·columns, t·size², c)
            v = v.unflatten(3, (columns, size)).unflatten(2, (rows, size))
            return v.permute(0, 2, 4, 1, 3, 5, 6).flatten(3, 5).flatten(0, 2)

        padded = before or below or right
        allowed = windows(inside).view(1, -1, 1, 1, t * size**2).expand(n, -1, -1, -1, -1).flatten(0, 1)
        out = self.attend(windows(qkv), allowed if padded else None)
        out = out.view(n, rows, columns, t, size, size, -1).permute(0, 3, 1, 4, 2, 5, 6)
        out = out.flatten(4, 5).flatten(2, 3)
        return out[:, :, before : before + h, before : before + w]
