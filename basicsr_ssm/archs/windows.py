"""Square windows of a feature map as token sequences."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from basicsr_ssm.ops import residual_mlp
from basicsr_ssm.ops.layout import has_channels_together


def partition(x: torch.Tensor, size: int) -> torch.Tensor:
    """(n, c, h, w), h and w multiples of `size` → (n·windows, size², c): tokens row by row, windows row by row."""
    return rearrange(x, 'n c (y i) (x j) -> (n y x) (i j) c', i=size, j=size)


def merge(tokens: torch.Tensor, size: int, height: int, width: int, together: bool = False) -> torch.Tensor:
    """The inverse of `partition`: (n, c, height, width); `together`: with its channels side by side in memory."""
    y, x = height // size, width // size
    if together:
        return rearrange(tokens, '(n y x) (i j) c -> n (y i) (x j) c', y=y, x=x, i=size).permute(0, 3, 1, 2)
    return rearrange(tokens, '(n y x) (i j) c -> n c (y i) (x j)', y=y, x=x, i=size)


def over_windows(function: Callable[..., torch.Tensor], size: int, *features: torch.Tensor) -> torch.Tensor:
    """Applies a token function of (n·windows, size², c) tensors to the windows of feature maps (n, c, h, w).

    The maps are zero-padded right and below to whole windows first, and the result is cropped to (n, c, h, w): padded
    tokens take part, as in MedVSR. It lies in memory as the first map does.
    """
    together = has_channels_together(features[0])
    height, width = features[0].shape[2:]
    below, right = -height % size, -width % size
    if below or right:
        features = [F.pad(f, (0, right, 0, below)) for f in features]
    tokens = function(*(partition(f, size) for f in features))
    return merge(tokens, size, height + below, width + right, together)[:, :, :height, :width]


class Mlp(nn.Module):
    """Linear, exact GELU, Linear, after a norm and what is projected before it; weights N(0, 0.02), biases 0."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)
        for linear in (self.fc1, self.fc2):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, x: torch.Tensor, mixed: torch.Tensor, projection: nn.Linear, norm: nn.LayerNorm) -> torch.Tensor:
        """x ← x + projection(mixed); x + fc2(GELU(fc1(norm(x)))), of tokens (b, l, C)."""
        return residual_mlp(
            x, mixed, projection.weight, norm.weight, norm.bias,
            self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias, norm.eps,
        )  # fmt: skip
