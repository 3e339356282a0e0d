"""Sinusoidal encoding of continuous positions."""

from __future__ import annotations

import math

import torch

# The slowest wave makes half a turn per unit, the fastest 2**OCTAVES times as many.
OCTAVES = 5


def sinusoids(position: torch.Tensor, channels: int) -> torch.Tensor:
    """Sines and cosines of (x, y) at frequencies spaced geometrically (Mildenhall et al., 2021, Eq. 4).

    Args:
        position: (…, 2), pixels.
        channels: length of the encoding; a quarter each for sin x, cos x, sin y, cos y, what is left over is 0.

    Returns:
        (…, channels) in the dtype of the position, in [−1, 1].
    """
    waves = channels // 4
    octaves = torch.linspace(0, OCTAVES, max(waves, 1), device=position.device, dtype=position.dtype)[:waves]
    angles = position.unsqueeze(-1) * (math.pi * torch.exp2(octaves))  # (…, 2, waves)
    encoding = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
    return torch.nn.functional.pad(encoding, (0, channels - 4 * waves))
