"""Cross-attention mixers, the alternatives to Mamba-2 in MedVSR's Cross State-Space Block (supplement, Tab. 3).

By the analogy of the supplement (Sec. 1), the distant frame gives the queries, where it gives C to the scan; the
neighbouring frame gives keys and values, where it gives B and x.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

HEAD_SIZE = 16


class CrossAttention(nn.Module):
    """Softmax attention of y's queries over x's tokens, inside a window.

    The paper gives no details of this ablation: heads of 16 channels as in the scan, projections without bias.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.heads = channels // HEAD_SIZE
        self.q_proj = nn.Linear(channels, channels, bias=False)
        self.kv_proj = nn.Linear(channels, 2 * channels, bias=False)
        self.out_proj = nn.Linear(channels, channels, bias=False)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """x, y: (b, l, C) → (b, l, C)."""
        return self.out_proj(self.mixed(x, y))

    def mixed(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What is projected by `out_proj`."""
        k, v = self.kv_proj(x).chunk(2, dim=2)
        q, k, v = (s.unflatten(2, (self.heads, HEAD_SIZE)).transpose(1, 2) for s in (self.q_proj(y), k, v))
        return self.attend(q, k, v).transpose(1, 2).flatten(2)

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """(b, heads, l, 16) each → (b, heads, l, 16)."""
        return F.scaled_dot_product_attention(q, k, v)


class CrossLinearAttention(CrossAttention):
    """Linear attention with φ = elu + 1 (Katharopoulos et al., 2020, Eq. 7), over the whole window."""

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        dtype = torch.promote_types(q.dtype, torch.float32)  # the normaliser sums hundreds of terms
        with torch.autocast(q.device.type, enabled=False):
            q, k, values = F.elu(q.to(dtype)) + 1, F.elu(k.to(dtype)) + 1, v.to(dtype)
            total = q @ k.sum(2).unsqueeze(3)
            return (q @ (k.mT @ values) / total).to(v.dtype)
