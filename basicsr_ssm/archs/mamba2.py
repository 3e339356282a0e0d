"""Mamba-2 token mixers of MedVSR.

Both mix (b, l, C) tokens with the SSD scan, head size 16, state size 16, one group, and short causal convolutions of
kernel 3: all between the projections is one operator (`basicsr_ssm.ops.windowed_ssd`). Published parameter names, so
that published checkpoints load.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from basicsr_ssm.ops import cross_window_ssd, inner_window_ssd

HEAD_SIZE = 16
STATE_SIZE = 16
CONV_KERNEL = 3
NORM_EPS = 1e-5
DT_RANGE = (0.001, 0.1)
DT_FLOOR = 1e-4


class _ScanParameters(nn.Module):
    """What the scan of one mixer learns besides its projections: step-size bias, decay rate and skip of each head."""

    def __init__(self, d_inner: int):
        super().__init__()
        self.d_inner = d_inner
        self.heads = d_inner // HEAD_SIZE
        low, high = map(math.log, DT_RANGE)
        dt = torch.exp(torch.empty(self.heads).uniform_(low, high)).clamp(min=DT_FLOOR)
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        self.A_log = nn.Parameter(torch.empty(self.heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(self.heads))


def _causal_conv(channels: int) -> nn.Conv1d:
    """Holds weight (channels, 1, 3) and bias under the published names; computed by the operator."""
    return nn.Conv1d(channels, channels, CONV_KERNEL, groups=channels)


class _Gain(nn.Module):
    """Holds the weight of the gated norm under its published name; computed by the operator."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))


class CrossMamba2(_ScanParameters):
    """Mixer of the Cross State-Space Block: the scan of one frame read out by another (MedVSR, Sec. 3.3).

    B, dt and the values come from the tokens x, the output matrix C from the tokens of the distant frame y. C passes a
    depthwise 3×3 convolution over the window (`pe`).

    Args:
        channels: C, a multiple of 16.
        window_size: the tokens are those of a square window, row by row.
    """

    def __init__(self, channels: int, window_size: int):
        super().__init__(channels)
        self.window_size = window_size
        self.in_proj = nn.Linear(channels, 2 * channels + STATE_SIZE + self.heads, bias=False)
        self.in_proj_b = nn.Linear(channels, STATE_SIZE, bias=False)
        self.conv1d = _causal_conv(channels + STATE_SIZE)
        self.conv1d_b = _causal_conv(STATE_SIZE)
        self.norm = _Gain(channels)
        self.out_proj = nn.Linear(channels, channels, bias=False)
        self.pe = nn.Conv2d(STATE_SIZE, STATE_SIZE, 3, padding=1, groups=STATE_SIZE, bias=False)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """x, y: (b, window², C) → (b, window², C)."""
        return self.out_proj(self.mixed(x, y))

    def mixed(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What is projected by `out_proj`."""
        return cross_window_ssd(
            self.in_proj(x),
            self.in_proj_b(y),
            self.conv1d.weight.squeeze(1),
            self.conv1d.bias,
            self.conv1d_b.weight.squeeze(1),
            self.conv1d_b.bias,
            self.pe.weight.squeeze(1),
            self.dt_bias,
            self.A_log,
            self.D,
            self.norm.weight,
            NORM_EPS,
        )


class InnerMamba2(_ScanParameters):
    """Mixer of the Inner State-Space Reconstruction: half of the channels scanned, half passed by (MedVSR, Sec. 3.4).

    Args:
        channels: C, a multiple of 32.
    """

    def __init__(self, channels: int):
        super().__init__(channels // 2)
        scanned = self.d_inner + 2 * STATE_SIZE
        self.in_proj = nn.Linear(channels, self.d_inner + scanned + self.heads, bias=False)
        self.conv1d = _causal_conv(scanned)
        self.norm = nn.LayerNorm(channels)
        self.out_proj = nn.Linear(channels, channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (b, l, C) → (b, l, C)."""
        return self.out_proj(self.mixed(x))

    def mixed(self, x: torch.Tensor) -> torch.Tensor:
        """What is projected by `out_proj`."""
        return inner_window_ssd(
            self.in_proj(x),
            self.conv1d.weight.squeeze(1),
            self.conv1d.bias,
            self.dt_bias,
            self.A_log,
            self.D,
            self.norm.weight,
            self.norm.bias,
            self.norm.eps,
        )
