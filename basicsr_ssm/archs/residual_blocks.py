"""BasicVSR's trunk of residual blocks, each convolution with what follows it as one operator."""

from __future__ import annotations

import torch
from basicsr.archs import basicvsr_arch

from basicsr_ssm.ops import conv2d


class ConvResidualBlocks(basicvsr_arch.ConvResidualBlocks):
    """3×3 convolution, leaky ReLU, and blocks x + B(ReLU(A(x))), A and B 3×3 convolutions.

    Parameters, their names and their start are BasicSR's.
    """

    def forward(self, *features: torch.Tensor) -> torch.Tensor:
        """Features (n, c, h, w), as if concatenated → (n, num_out_ch, h, w)."""
        first, activation, blocks = self.main
        x = conv2d(features, first.weight, first.bias, 'leaky_relu', activation.negative_slope)
        for block in blocks:
            out = conv2d(x, block.conv1.weight, block.conv1.bias, 'relu')
            x = conv2d(out, block.conv2.weight, block.conv2.bias, residual=x)
        return x
