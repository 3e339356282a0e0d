"""Deformable Cross-Mamba Alignment (DCA) of VSRM (Sec. 4.3, Fig. 4)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from basicsr_ssm.archs.alignment import gather_pixels, sampling_positions
from basicsr_ssm.archs.mamba import decay_rates, start_step_sizes
from basicsr_ssm.archs.position_encoding import sinusoids
from basicsr_ssm.ops import window_cross_scan


class DeformableCrossMambaAlignment(nn.Module):
    """Infers each pixel of the aligned feature from points of the neighbour with a selective scan.

    Around the place where the flow finds a pixel in the neighbour lies a region of reference points (Eq. 8), moved by
    learned offsets (Eq. 9). A scan over the points, whose output matrix C and gate come from the target pixel, gives
    the aligned pixel (Eq. 10, 11). Computed with two equalities:

    - The offset network S sees a window of window_size² pixels through unpadded convolutions that shrink it to a point.
      That is the same as these convolutions over the whole neighbour, read at the centre of the window.
    - Sampling is linear: a projection of sampled features is the sample of the projected frame.

    So S and the projections run once per neighbour, not once per window. What the paper leaves open: the offsets are
    bounded by tanh so that no point leaves its window; the points are visited from the rim of the region to its centre,
    opposite ones one after the other, so that neither the decay nor the skip D moves the feature to one side.

    Args:
        channels: C.
        window_size: side of the window that S sees, odd.
        reference_size: side of the region of reference points.
        d_state: states of each channel.
    """

    def __init__(self, channels: int, window_size: int = 5, reference_size: int = 3, d_state: int = 16):
        super().__init__()
        self.channels, self.d_state = channels, d_state
        self.limit = offset_limit(window_size, reference_size)
        if window_size % 2 == 0 or self.limit < 1:
            raise ValueError(
                f'DCA: window_size={window_size} is not odd or leaves no room for offsets around '
                f'reference_size={reference_size}'
            )
        self.register_buffer('points', reference_points(reference_size), persistent=False)
        self.reach = (window_size - 1) // 2  # one pixel for each 3×3 convolution of S
        layers = []
        for _ in range(self.reach - 1):
            layers += [nn.Conv2d(channels, channels, 3), nn.LeakyReLU(0.1, inplace=True)]
        self.offset_net = nn.Sequential(*layers, nn.Conv2d(channels, 2 * len(self.points), 3))
        nn.init.zeros_(self.offset_net[-1].weight)
        nn.init.zeros_(self.offset_net[-1].bias)
        self.dt_rank = math.ceil(channels / 16)
        self.in_proj = nn.Linear(channels, channels, bias=False)
        self.x_proj = nn.Linear(channels, self.dt_rank + d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, channels)
        start_step_sizes(self.dt_proj)
        self.q_proj = nn.Linear(channels, channels + d_state, bias=False)
        self.A_log = nn.Parameter(decay_rates(channels, d_state).log())
        self.D = nn.Parameter(torch.ones(channels))
        self.out_proj = nn.Linear(channels, channels, bias=False)

    def encode(self, neighbour: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The neighbour's feature (n, C, h, w), projected (n, h, w, 2C + d_state), and S's offsets (n, h, w, 2k)."""
        padded = F.pad(neighbour, (self.reach,) * 4, mode='replicate')
        offsets = self.limit * torch.tanh(self.offset_net(padded))
        return self._project(neighbour.permute(0, 2, 3, 1)), offsets.permute(0, 2, 3, 1)

    def forward(
        self, target: torch.Tensor, neighbour: tuple[torch.Tensor, torch.Tensor], flow: torch.Tensor
    ) -> torch.Tensor:
        """Aligns a neighbour to the target.

        Args:
            target: (n, C, h, w), feature of the present frame.
            neighbour: what `encode` gave.
            flow: (n, 2, h, w), (dx, dy) from the target to the neighbour, pixels. Outside the frame its edge is read.

        Returns:
            (n, C, h, w).
        """
        projected, offsets = neighbour
        whole, fraction = sampling_positions(flow)
        offsets = gather_pixels(offsets, whole).unflatten(-1, (-1, 2)).to(whole.dtype)
        positions = whole.unsqueeze(-2) + self.points + offsets
        query = target.permute(0, 2, 3, 1) + sinusoids(fraction, self.channels).to(target.dtype)
        z, C = self.q_proj(query).split([self.channels, self.d_state], dim=-1)
        y = window_cross_scan(projected, positions, self._encoding(), C, -self.A_log.exp(), self.D)
        return self.out_proj(y * F.silu(z)).permute(0, 3, 1, 2)

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        """(…, C) → (…, 2C + d_state): u, Δ before bias and softplus, B; linear in x."""
        u = self.in_proj(x)
        dt, B = self.x_proj(u).split([self.dt_rank, self.d_state], dim=-1)
        return torch.cat([u, F.linear(dt, self.dt_proj.weight), B], dim=-1)

    def _encoding(self) -> torch.Tensor:
        """The projected positional encoding of the reference points, (k, 2C + d_state), with Δ's bias."""
        encoding = self._project(sinusoids(self.points, self.channels))
        return encoding + F.pad(self.dt_proj.bias, (self.channels, self.d_state))


def reference_points(size: int) -> torch.Tensor:
    """(size², 2), (x, y) of the region of Eq. 8 around (0, 0): from its rim to its centre, opposite points in turn."""
    first = -((size - 1) // 2)
    places = [(x, y) for y in range(first, first + size) for x in range(first, first + size)]
    places.sort(key=lambda p: (-(p[0] ** 2 + p[1] ** 2), min(p, (-p[0], -p[1])), p))
    return torch.tensor(places, dtype=torch.float32)


def offset_limit(window_size: int, reference_size: int) -> int:
    """How far a reference point can move without leaving the window, pixels."""
    return (window_size - 1) // 2 - (reference_size - (reference_size - 1) // 2 - 1)
