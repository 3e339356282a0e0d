"""Mamba-2 token mixers of MedVSR.

Both mix (b, l, C) tokens with the SSD scan (`basicsr_ssm.ops.ssd`), head size 16, state size 16, one group, and short
causal convolutions of kernel 3. Published parameter names, so that published checkpoints load.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from basicsr_ssm.ops import causal_conv1d, ssd

HEAD_SIZE = 16
STATE_SIZE = 16
CONV_KERNEL = 3
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

    def scan(self, u: torch.Tensor, dt: torch.Tensor, B: torch.Tensor, C: torch.Tensor) -> torch.Tensor:
        """(b, l, d_inner), with dt before its bias and softplus; B and C (b, l, 16)."""
        dt = F.softplus(dt.to(self.dt_bias.dtype) + self.dt_bias)
        u = u.unflatten(2, (self.heads, HEAD_SIZE))
        y = ssd(u, dt, -self.A_log.exp(), B.unsqueeze(2), C.unsqueeze(2), self.D)
        return y.flatten(2)


def _causal_conv(channels: int) -> nn.Conv1d:
    """Holds weight (channels, 1, 3) and bias under the published names; computed by the operator."""
    return nn.Conv1d(channels, channels, CONV_KERNEL, groups=channels)


def _conv_silu(x: torch.Tensor, conv: nn.Conv1d) -> torch.Tensor:
    return causal_conv1d(x, conv.weight.squeeze(1), conv.bias, activation='silu')


class GatedRMSNorm(nn.Module):
    """v / √(mean(v²) + 1e-5) · weight with v = x · SiLU(z): the gate, then the norm, as in Mamba-2."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.eps = eps

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        v = (x * F.silu(z)).to(self.weight.dtype)
        return v * torch.rsqrt(v.square().mean(-1, keepdim=True) + self.eps) * self.weight


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
        self.norm = GatedRMSNorm(channels)
        self.out_proj = nn.Linear(channels, channels, bias=False)
        self.pe = nn.Conv2d(STATE_SIZE, STATE_SIZE, 3, padding=1, groups=STATE_SIZE, bias=False)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """x, y: (b, window², C) → (b, window², C)."""
        z, u_B, dt = self.in_proj(x).split([self.d_inner, self.d_inner + STATE_SIZE, self.heads], dim=2)
        u, B = _conv_silu(u_B, self.conv1d).split([self.d_inner, STATE_SIZE], dim=2)
        C = _conv_silu(self.in_proj_b(y), self.conv1d_b)
        C = self.pe(C.mT.unflatten(2, (self.window_size, self.window_size))).flatten(2).mT
        return self.out_proj(self.norm(self.scan(u, dt, B, C), z))


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
        z, scanned, dt = self.in_proj(x).split([self.d_inner, self.d_inner + 2 * STATE_SIZE, self.heads], dim=2)
        u, B, C = _conv_silu(scanned, self.conv1d).split([self.d_inner, STATE_SIZE, STATE_SIZE], dim=2)
        return self.out_proj(self.norm(torch.cat([self.scan(u, dt, B, C), z], dim=2)))
