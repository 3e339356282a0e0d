"""Inner State-Space Reconstruction (ISSR) of MedVSR."""

from __future__ import annotations

import torch
from torch import nn

from basicsr_ssm.archs.state_space_blocks import InnerStateSpaceLayer
from basicsr_ssm.ops import conv2d, depthwise_conv2d
from basicsr_ssm.ops.depthwise_conv import channels_last_serves


class LargeKernelResidualBlock(nn.Module):
    """x + B(ReLU(A(x))), A and B each a depthwise k×k convolution followed by a 1×1 convolution."""

    def __init__(self, channels: int, kernel_size: int):
        super().__init__()
        self.conv1 = self._conv(channels, kernel_size)
        self.conv2 = self._conv(channels, kernel_size)

    @staticmethod
    def _conv(channels: int, kernel_size: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._convolve(self.conv2, self._convolve(self.conv1, x, 'relu'), residual=x)

    @staticmethod
    def _convolve(
        conv: nn.Sequential, x: torch.Tensor, activation: str | None = None, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        depthwise, pointwise = conv
        out = depthwise_conv2d(x.permute(0, 2, 3, 1), depthwise.weight, depthwise.bias).permute(0, 3, 1, 2)
        return conv2d(out, pointwise.weight, pointwise.bias, activation, residual=residual)


class LargeKernelResidualBlocks(nn.Sequential):
    """Residual blocks one after the other, with the channels last in memory where that is faster."""

    def __init__(self, channels: int, kernel_size: int, depth: int):
        super().__init__(*(LargeKernelResidualBlock(channels, kernel_size) for _ in range(depth)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, C, h, w) → the same, laid out in memory as x is."""
        if not len(self) or x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        conv = self[0].conv1[0]
        if not channels_last_serves(x.permute(0, 2, 3, 1), conv.weight, conv.bias):
            return super().forward(x)
        return super().forward(x.contiguous(memory_format=torch.channels_last)).contiguous()


class InnerStateSpaceReconstruction(nn.Module):
    """ISSR (MedVSR, Sec. 3.4): 3×3 convolution, one state-space layer, large-kernel residual blocks.

    Args:
        in_channels: channels of all features of a frame together.
        channels: C, a multiple of 32.
        depth: the state-space layer and depth − 1 residual blocks.
        window_size: of the state-space layer, pixels.
        kernel_size: of the residual blocks, odd.
    """

    def __init__(self, in_channels: int, channels: int, depth: int, window_size: int, kernel_size: int):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Sequential(InnerStateSpaceLayer(channels, window_size)),
            LargeKernelResidualBlocks(channels, kernel_size, depth - 1),
        )

    def forward(self, *features: torch.Tensor) -> torch.Tensor:
        """Features (n, c, h, w) of in_channels together → (n, C, h, w)."""
        first, activation, layer, blocks = self.main
        x = conv2d(features, first.weight, first.bias, 'leaky_relu', activation.negative_slope)
        return blocks(layer(x))
