"""Pixel-shuffle up-sampling to the high-resolution frame, as BasicVSR's, for scales 2, 3, 4, 6 and 8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from basicsr_ssm.archs.batches import frames_at_once, in_batches
from basicsr_ssm.ops import conv2d

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
    x = features
    for i, step in enumerate(UPSAMPLING_STEPS[scale], 1):
        conv = getattr(net, f'upconv{i}')
        x = conv2d(x, conv.weight, conv.bias, 'leaky_relu', shuffle=step)
    x = conv2d(x, net.conv_hr.weight, net.conv_hr.bias, 'leaky_relu')
    enlarged = F.interpolate(lq, scale_factor=scale, mode='bilinear', align_corners=False)
    return conv2d(x, net.conv_last.weight, net.conv_last.bias, residual=enlarged)


def upsample_frames(
    net: nn.Module, features: torch.Tensor, lqs: torch.Tensor, frames: Sequence[int], scale: int
) -> Iterator[torch.Tensor]:
    """Features (frames·n, channels, h, w) of frames of clips (n, t, 3, h, w) → each frame (n, 3, scale·h, scale·w).

    What lies between is scale² times as large as anything before, so only some frames go through it at once.
    """
    at_once = frames_at_once(lqs, scale)
    parts = features.split(at_once * len(lqs))
    for part, numbers in zip(parts, in_batches(frames, at_once), strict=True):
        lq = torch.cat([lqs[:, frame] for frame in numbers])
        yield from upsample(net, part, lq, scale).chunk(len(numbers))
