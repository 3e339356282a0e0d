"""Warping beside PyTorch's grid_sample on a grid that is ready: what makes the grid is a dozen launches more.

Features of MedVSR, channels last for ours and first for grid_sample, which copies what lies otherwise; flows; and the
frames of a clip, as the flow network has them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops import flow_warp
from operators.measure import Case, Form

SHAPES = {
    'feature': ((1, 64, 144, 180), torch.bfloat16, 'zeros'),
    'feature of a large frame': ((1, 64, 512, 512), torch.bfloat16, 'zeros'),
    'flow': ((1, 2, 144, 180), torch.float32, 'zeros'),
    '10 frames': ((10, 3, 144, 180), torch.float32, 'border'),
}


def cases(short: bool):
    for name, (shape, dtype, padding) in list(SHAPES.items())[: 1 if short else None]:
        for kind in {torch.float32, dtype}:
            yield case(f'{name} {shape}', shape, kind, padding)


def case(name, shape, dtype, padding):
    g = torch.Generator('cuda').manual_seed(0)
    n, channels, h, w = shape
    x = torch.randn(shape, generator=g, device='cuda').to(dtype)
    flow = 3 * torch.randn(n, 2, h, w, generator=g, device='cuda')
    rows, columns = torch.meshgrid(torch.arange(h, device='cuda'), torch.arange(w, device='cuda'), indexing='ij')
    grid = torch.stack([2 * (columns + flow[:, 0]) / (w - 1) - 1, 2 * (rows + flow[:, 1]) / (h - 1) - 1], dim=3)

    def sampled(x, grid):
        return F.grid_sample(x, grid.to(x.dtype), padding_mode=padding, align_corners=True)

    together = x.contiguous(memory_format=torch.channels_last) if channels > 3 else x
    return Case(
        name, dtype, Form(lambda x, flow: flow_warp(x, flow, padding), [together, flow]),
        Form(lambda x, flow: flow_warp(x, flow, padding, 'reference'), [x, flow]), Form(sampled, [x, grid]),
        {'multiply-adds': 4 * x.numel()},
    )  # fmt: skip
