"""layer_norm beside PyTorch's: three frames of REDS in VSRM, and MedVSR's windows of a frame of 144 × 180."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops import layer_norm
from operators.measure import Case, Form

SHAPES = ((1, 172800, 120), (108, 256, 64))


def cases(short: bool):
    for shape in SHAPES[:1] if short else SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            g = torch.Generator('cuda').manual_seed(0)
            x, weight, bias = (torch.randn(v, generator=g, device='cuda') for v in (shape, shape[-1:], shape[-1:]))
            tensors = [x.to(dtype), weight, bias]
            yield Case(
                f'{shape[0]} × {shape[1]:,} × {shape[2]}', dtype, form(tensors, None), form(tensors, 'reference'),
                Form(vendor, [v.to(dtype) for v in tensors]),
            )  # fmt: skip


def form(tensors, backend):
    return Form(lambda *v: layer_norm(*v, backend=backend), tensors)


def vendor(x, weight, bias):
    return F.layer_norm(x, x.shape[-1:], weight, bias)
