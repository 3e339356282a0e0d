"""residual_mlp beside the seven calls that it is made of, PyTorch's but for our LayerNorm.

MedVSR's tokens of a frame of 144×180 and of 512×512, hidden 256, as inference has them: the norm's parameters in
float32, all else in bfloat16.
"""

from __future__ import annotations

import torch

from basicsr_ssm.ops import residual_mlp
from operators.measure import Case, Form

WINDOWS = (108, 1024)
TOKENS, CHANNELS, HIDDEN = 256, 64, 256


def cases(short: bool):
    for windows in WINDOWS[:1] if short else WINDOWS:
        tensors = inputs(windows, torch.bfloat16)
        separate = Form(lambda *v: residual_mlp(*v, backend='reference'), tensors)
        products = 2 * windows * TOKENS * CHANNELS * (CHANNELS + 2 * HIDDEN)
        yield Case(
            f'{windows} windows', torch.bfloat16, Form(residual_mlp, tensors), separate, separate,
            {'products': products}, passes=('forward',),
        )  # fmt: skip


def inputs(windows, dtype):
    g = torch.Generator('cuda').manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=g, device='cuda')

    c, hidden = CHANNELS, HIDDEN
    x, mixed = (normal(windows, TOKENS, c).to(dtype) for _ in range(2))
    projection, weight1, weight2 = ((normal(*v) / v[1] ** 0.5).to(dtype) for v in ((c, c), (hidden, c), (c, hidden)))
    bias1, bias2 = normal(hidden).to(dtype), normal(c).to(dtype)
    return [x, mixed, projection, normal(c), normal(c), weight1, bias1, weight2, bias2]
