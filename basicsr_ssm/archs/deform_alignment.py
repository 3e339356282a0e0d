"""Flow-guided deformable alignment, as MedVSR uses it."""

from __future__ import annotations

import math

import torch
from torch import nn

from basicsr_ssm.ops import conv2d, flow_guided_deform_conv

DEFORM_GROUPS = 16
KERNEL = 3


class FlowGuidedDeformAlignment(nn.Module):
    """Modulated deformable 3×3 convolution, 2C → C, whose offsets are the flow plus a bounded residue.

    After BasicVSR++ (Chan et al., 2022, Eq. 4–6), but both halves of the offsets are guided by the first-order flow.

    Args:
        channels: C, a multiple of 8.
        max_residue_magnitude: bound of the residue, pixels.
    """

    def __init__(self, channels: int, max_residue_magnitude: float):
        super().__init__()
        self.max_residue_magnitude = max_residue_magnitude
        fan_in = 2 * channels * KERNEL * KERNEL
        bound = 1 / math.sqrt(fan_in)
        self.weight = nn.Parameter(torch.empty(channels, 2 * channels, KERNEL, KERNEL).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.conv_offset = nn.Sequential(
            nn.Conv2d(3 * channels + 4, channels, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(channels, 3 * KERNEL * KERNEL * DEFORM_GROUPS, 3, padding=1),
        )
        nn.init.zeros_(self.conv_offset[-1].weight)
        nn.init.zeros_(self.conv_offset[-1].bias)

    def forward(
        self, feature: torch.Tensor, conditions: tuple[torch.Tensor, torch.Tensor, torch.Tensor], flow: torch.Tensor
    ) -> torch.Tensor:
        """Aligns the previous frame's feature to the present frame.

        Args:
            feature: (n, C, h, w), what is sampled (twice, as two inputs of the convolution).
            conditions: neighbour warped, present frame's feature, distant support; (n, C, h, w) each.
            flow: (n, 2, h, w), (dx, dy) from the present frame to the previous one.

        Returns:
            (n, C, h, w).
        """
        *hidden, last = self.conv_offset[::2]
        x = [*conditions, flow, flow]
        for conv in hidden:
            x = conv2d(x, conv.weight, conv.bias, 'leaky_relu')
        raw = conv2d(x, last.weight, last.bias)
        return flow_guided_deform_conv(feature, raw, flow, self.weight, self.bias, self.max_residue_magnitude)
