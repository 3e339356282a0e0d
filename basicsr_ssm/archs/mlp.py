"""The MLP at the end of MedVSR's blocks."""

from __future__ import annotations

import torch
from torch import nn

from basicsr_ssm.ops import residual_mlp


class Mlp(nn.Module):
    """Linear, exact GELU, Linear, after a norm and what is projected before it; weights N(0, 0.02), biases 0."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)
        for linear in (self.fc1, self.fc2):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        x: torch.Tensor,
        mixed: torch.Tensor,
        projection: nn.Linear,
        norm: nn.LayerNorm,
        window: int | None = None,
    ) -> torch.Tensor:
        """x ← x + projection(mixed); x + fc2(GELU(fc1(norm(x)))), of tokens (b, l, C).

        With a window, x is a map (n, C, h, w), and the tokens `mixed` are those of its windows.
        """
        return residual_mlp(
            x, mixed, projection.weight, norm.weight, norm.bias,
            self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias, norm.eps, window,
        )  # fmt: skip
