"""Pixel-shuffle up-sampling to the high-resolution frame, as BasicVSR's, for scales 2, 3, 4, 6 and 8."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from basicsr_ssm.archs.layout import has_channels_together

UPSAMPLING_STEPS = {2: (2,), 3: (3,), 4: (2, 2), 6: (2, 3), 8: (2, 2, 2)}
LAST_CHANNELS = 64


def add_upsampling(net: nn.Module, channels: int, scale: int) -> None:
    """Gives a network the convolutions upconv1, upconv2, …, conv_hr and conv_last, for features of `channels`."""
    steps = UPSAMPLING_STEPS[scale]
    for i, step in enumerate(steps, 1):
        out = LAST_CHANNELS if i == len(steps) else channels
        setattr(net, f'upconv{i}', nn.Conv2d(channels, out * step * step, 3, padding=1))
    net.conv_hr = nn.Conv2d(LAST_CHANNELS, LAST_CHANNELS, 3, padding=1)
    net.conv_last = nn.Conv2d(LAST_CHANNELS, 3, 3, padding=1)


def upsample(net: nn.Module, features: torch.Tensor, lq: torch.Tensor, scale: int) -> torch.Tensor:
    """Features (n, channels, h, w) and the LR frame (n, 3, h, w) → (n, 3, scale·h, scale·w)."""
    out = features
    for i, step in enumerate(UPSAMPLING_STEPS[scale], 1):
        out = F.leaky_relu(pixel_shuffle(getattr(net, f'upconv{i}')(out), step), 0.1)
    out = net.conv_last(F.leaky_relu(net.conv_hr(out), 0.1))
    return out + F.interpolate(lq, scale_factor=scale, mode='bilinear', align_corners=False)


def pixel_shuffle(x: torch.Tensor, step: int) -> torch.Tensor:
    """F.pixel_shuffle; if x has its channels together in memory, so has the result."""
    if not has_channels_together(x):
        return F.pixel_shuffle(x, step)
    n, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).view(n, height, width, channels // step**2, step, step).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(n, height * step, width * step, -1).permute(0, 3, 1, 2)
