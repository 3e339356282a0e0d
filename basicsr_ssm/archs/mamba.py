"""Mamba token mixers of VSRM: spatial-to-temporal and temporal-to-spatial (Sec. 4.2)."""

from __future__ import annotations

import math

import torch
from torch import nn

from basicsr_ssm.archs.token_order import ORDERS, from_tokens, to_tokens
from basicsr_ssm.ops import causal_conv1d, selective_scan

DT_RANGE = (0.001, 0.1)
DT_FLOOR = 1e-4


class VideoMamba(nn.Module):
    """Selective scan (Mamba, Gu & Dao, 2023) over the tokens of a short clip.

    VSRM, Eq. 4 (order 's2t', direction 'both') and Eq. 5 (order 't2s', direction 'forward'): x and z are linear
    projections, x passes a causal convolution and the scans, SiLU(z) gates their sum. The two directions share all
    projections and the convolution; A and D are one per direction.

    Args:
        channels: C.
        order: 's2t' or 't2s', see `token_order`.
        direction: 'forward' or 'both'.
        expand: width of the scan over C.
        d_state: states of each channel.
        d_conv: kernel of the convolution.
    """

    def __init__(self, channels: int, order: str, direction: str, expand: float, d_state: int, d_conv: int):
        super().__init__()
        self.order, self.direction, self.d_state = ORDERS[order], direction, d_state
        d_inner = round(expand * channels)
        self.dt_rank = math.ceil(channels / 16)
        self.in_proj = nn.Linear(channels, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner)  # computed by the operator
        self.x_proj = nn.Linear(d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, d_inner)
        start_step_sizes(self.dt_proj)
        sets = (2,) if direction == 'both' else ()
        self.A_log = nn.Parameter(decay_rates(d_inner, d_state).log().repeat(*sets, 1, 1))
        self.D = nn.Parameter(torch.ones(*sets, d_inner))
        self.out_proj = nn.Linear(d_inner, channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, t, h, w, C) → the same."""
        tokens = to_tokens(x, self.order)
        u, z = self.in_proj(tokens).chunk(2, dim=2)
        u = causal_conv1d(u, self.conv1d.weight.squeeze(1), self.conv1d.bias, activation='silu')
        dt, B, C = self.x_proj(u).split([self.dt_rank, self.d_state, self.d_state], dim=2)
        y = selective_scan(
            u,
            nn.functional.linear(dt, self.dt_proj.weight),
            -self.A_log.exp(),
            B,
            C,
            self.D,
            z,
            self.dt_proj.bias,
            delta_softplus=True,
            direction=self.direction,
        )
        return from_tokens(self.out_proj(y), self.order, x.shape)


def decay_rates(channels: int, d_state: int) -> torch.Tensor:
    """−A at the start: 1 … d_state for every channel, (channels, d_state), as S4D-real."""
    return torch.arange(1, d_state + 1, dtype=torch.float32).repeat(channels, 1)


def start_step_sizes(dt_proj: nn.Linear) -> None:
    """Starts a Δ projection as Mamba does: Δ between 0.001 and 0.1 at input 0."""
    bound = dt_proj.in_features**-0.5
    nn.init.uniform_(dt_proj.weight, -bound, bound)
    low, high = map(math.log, DT_RANGE)
    dt = torch.exp(torch.empty(dt_proj.out_features).uniform_(low, high)).clamp(min=DT_FLOOR)
    with torch.no_grad():
        dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
