"""nn.LayerNorm on this package's operator."""

from __future__ import annotations

import torch
from torch import nn

from basicsr_ssm.ops import layer_norm


class LayerNorm(nn.LayerNorm):
    """nn.LayerNorm(channels) with the result in the dtype of its input under autocast too: (…, c) → (…, c)."""

    def __init__(self, channels: int):
        super().__init__(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return layer_norm(x, self.weight, self.bias, self.eps)
