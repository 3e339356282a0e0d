"""window_norm beside PyTorch's padding, windows and LayerNorm: MedVSR's features, 64 channels that lie side by side."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops import window_norm
from basicsr_ssm.ops.windows import to_tokens
from operators.measure import Case, Form

SIZES = ((144, 180), (512, 512))
CHANNELS, WINDOW = 64, 16


def cases(short: bool):
    for h, w in SIZES[:1] if short else SIZES:
        for dtype in (torch.float32, torch.bfloat16):
            g = torch.Generator('cuda').manual_seed(0)
            x = torch.randn(1, h, w, CHANNELS, generator=g, device='cuda').to(dtype).permute(0, 3, 1, 2)
            weight, bias = (torch.randn(CHANNELS, generator=g, device='cuda') for _ in range(2))
            yield Case(
                f'{h} × {w} × {CHANNELS}', dtype, form([x, weight, bias], None), form([x, weight, bias], 'reference'),
                Form(vendor, [x, weight.to(dtype), bias.to(dtype)]), passes=('forward',),
            )  # fmt: skip


def form(tensors, backend):
    return Form(lambda x, weight, bias: window_norm(x, WINDOW, weight, bias, backend=backend), tensors)


def vendor(x, weight, bias):
    return F.layer_norm(to_tokens(x, WINDOW), (CHANNELS,), weight, bias)
