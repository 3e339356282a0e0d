"""Flow-guided deformable attention (FGDA) of RVRT, the neighbour of DCA in VSRM's ablation (Tab. 4)."""

from __future__ import annotations

import torch
from torch import nn

from basicsr_ssm.archs.alignment import pixel_grid
from basicsr_ssm.archs.temporal_gated_ffn import FFN
from basicsr_ssm.ops import flow_warp
from basicsr_ssm.ops.cross_scan import sample_points

POINTS = 9
OFFSET_CHANNELS = 64


class GuidedDeformAttention(nn.Module):
    """Each group of channels attends to 9 places of the neighbour: the flow plus learned offsets (Liang et al., 2022).

    The offsets come from the warped neighbour, the target and the flow; a feed-forward network follows the attention
    (RVRT, Sec. 3.3, with clips of one frame).

    Args:
        channels: C, a multiple of groups.
        groups: each has its own offsets and is one head of the attention.
        max_residue_magnitude: bound of the offsets, pixels.
    """

    def __init__(self, channels: int, groups: int = 6, max_residue_magnitude: float = 10):
        super().__init__()
        self.groups, self.max_residue_magnitude = groups, max_residue_magnitude
        hidden = OFFSET_CHANNELS
        layers = [nn.Conv2d(2 * channels + 2, hidden, 1), nn.LeakyReLU(0.1, inplace=True)]
        for _ in range(3):
            layers += [nn.Conv2d(hidden, hidden, 3, padding=1), nn.LeakyReLU(0.1, inplace=True)]
        self.conv_offset = nn.Sequential(*layers, nn.Conv2d(hidden, groups * POINTS * 2, 1))
        nn.init.zeros_(self.conv_offset[-1].weight)
        nn.init.zeros_(self.conv_offset[-1].bias)
        self.q_proj = nn.Linear(channels, channels)
        self.kv_proj = nn.Linear(channels, 2 * channels)
        self.out_proj = nn.Linear(channels, channels)
        self.mlp = FFN(channels, 2 * channels)

    def encode(self, neighbour: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, C, h, w) → the feature, and its keys and values (n, h, w, 2C)."""
        return neighbour, self.kv_proj(neighbour.permute(0, 2, 3, 1))

    def forward(
        self, target: torch.Tensor, neighbour: tuple[torch.Tensor, torch.Tensor], flow: torch.Tensor
    ) -> torch.Tensor:
        """target: (n, C, h, w); flow: (n, 2, h, w) from it to the neighbour → (n, C, h, w)."""
        feature, kv = neighbour
        n, _, h, w = target.shape
        offsets = self.conv_offset(torch.cat([flow_warp(feature, flow, 'border'), target, flow], dim=1))
        offsets = self.max_residue_magnitude * torch.tanh(offsets.to(flow.dtype))
        grid = pixel_grid(h, w, flow.device, flow.dtype) + flow.permute(0, 2, 3, 1)
        # heads first: (n·groups, h, w, 9, 2) places, (n·groups, h, w, 2C / groups) keys and values
        places = offsets.unflatten(1, (self.groups, POINTS, 2)).permute(0, 1, 4, 5, 2, 3) + grid[:, None, :, :, None]
        k, v = (x.unflatten(-1, (self.groups, -1)) for x in kv.chunk(2, dim=-1))
        kv = torch.cat([k, v], dim=-1).permute(0, 3, 1, 2, 4).flatten(0, 1)
        k, v = sample_points(kv.to(places.dtype), places.flatten(0, 1)).chunk(2, dim=-1)
        q = self.q_proj(target.permute(0, 2, 3, 1)).unflatten(-1, (self.groups, -1))
        q = q.permute(0, 3, 1, 2, 4).flatten(0, 1).unsqueeze(3)
        weights = (q * k).sum(-1, keepdim=True).mul(q.shape[-1] ** -0.5).softmax(dim=3)
        out = (weights * v).sum(3).unflatten(0, (n, self.groups)).permute(0, 2, 3, 1, 4).flatten(3)
        out = self.out_proj(out.to(target.dtype))
        return (out + self.mlp(out)).permute(0, 3, 1, 2)
