"""causal_conv1d with SiLU beside causal-conv1d's causal_conv1d_fn, on tokens with their channels side by side.

172,800 tokens are three frames of REDS in VSRM; 108 windows of 256 tokens those of a 144 × 180 frame in MedVSR.
"""

from __future__ import annotations

import torch

from basicsr_ssm.ops import causal_conv1d
from operators import vendors
from operators.measure import Case, Form

SHAPES = ((1, 172800, 240, 4), (8, 12288, 240, 4), (108, 256, 80, 3), (108, 256, 96, 4))


def cases(short: bool):
    for b, length, d, taps in SHAPES[:1] if short else SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            g = torch.Generator('cuda').manual_seed(0)
            tensors = [torch.randn(shape, generator=g, device='cuda') for shape in ((b, length, d), (d, taps), (d,))]
            tensors[0] = tensors[0].to(dtype)
            yield Case(
                f'{b} × {length:,} × {d}, {taps} taps', dtype, form(tensors, None), form(tensors, 'reference'),
                vendor(tensors), {'multiply-adds': b * length * d * taps, 'exponentials': b * length * d},
            )  # fmt: skip


def form(tensors, backend):
    return Form(lambda *v: causal_conv1d(*v, activation='silu', backend=backend), tensors)


def vendor(tensors):
    module = vendors.causal_conv1d()
    if module is None:
        return None
    x, weight, bias = tensors

    def call(x, weight, bias):
        return module.causal_conv1d_fn(x.mT, weight, bias, activation='silu').mT

    return Form(call, [x, weight.to(x.dtype), bias.to(x.dtype)])
