"""Convolutions with what follows them beside PyTorch's, that is cuDNN's, a kernel for each part.

The inference of MedVSR: 3 × 3 on 64 channels with a ReLU or a residual, five features as one, the offsets of the
alignment from three features and two flows, its 432 outputs, and the up-sampling, shuffled; the finest level of SpyNet,
7 × 7, of ten pairs at a time. Features lie channels last for all but the reference; the parameters too, in the dtype,
as inference has them. float32 is TF32 for all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops import conv2d
from operators.measure import Case, Form

SIZES = ((144, 180), (512, 512))
LAST = torch.channels_last
_FEW = 3  # channels of frames and flows: float32, in planes
# name: channels of the inputs, outputs, side of the kernel, activation, with a residual, shuffle
KINDS = {
    '64 → 64 ReLU': ((64,), 64, 3, 'relu', False, 1),
    '64 → 64 residual': ((64,), 64, 3, None, True, 1),
    '64 → 64, 1×1 residual': ((64,), 64, 1, None, True, 1),
    '5·64 → 64': ((64,) * 5, 64, 3, 'leaky_relu', False, 1),
    '3·64 + 2·2 → 64': ((64, 64, 64, 2, 2), 64, 3, 'leaky_relu', False, 1),
    '64 → 432': ((64,), 432, 3, None, False, 1),
    '64 → 256 shuffled': ((64,), 256, 3, 'leaky_relu', False, 2),
}
FLOW_SIZE = 10, 160, 192
FLOW_KINDS = {
    '3 + 3 + 2 → 32, 7×7 ReLU': ((3, 3, 2), 32, 7, 'relu', False, 1),
    '32 → 64, 7×7 ReLU': ((32,), 64, 7, 'relu', False, 1),
    '64 → 32, 7×7 ReLU': ((64,), 32, 7, 'relu', False, 1),
    '32 → 16, 7×7 ReLU': ((32,), 16, 7, 'relu', False, 1),
    '16 → 2, 7×7 residual': ((16,), 2, 7, None, True, 1),
}


def cases(short: bool):
    for h, w in SIZES[:1] if short else SIZES:
        for name, kind in KINDS.items():
            for dtype in (torch.float32, torch.bfloat16):
                yield case(f'{h} × {w}, {name}', 1, h, w, dtype, *kind)
    if not short:
        n, h, w = FLOW_SIZE
        for name, kind in FLOW_KINDS.items():
            for dtype in (torch.float32, torch.bfloat16):
                yield case(f'{n} · {h} × {w}, {name}', n, h, w, dtype, *kind)


def case(name, n, h, w, dtype, channels, out, side, activation, with_residual, shuffle):
    g = torch.Generator('cuda').manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=g, device='cuda')

    inputs = [normal(n, c, h, w).to(dtype if c > _FEW else torch.float32) for c in channels]
    weight = (normal(out, sum(channels), side, side) / (side * side * sum(channels)) ** 0.5).to(dtype)
    bias = normal(out).to(dtype)
    residual = normal(n, out, h, w).to(dtype if out > _FEW else torch.float32) if with_residual else None
    together = [v.contiguous(memory_format=LAST) if v.shape[1] > _FEW else v for v in inputs]
    near = None if residual is None else residual.contiguous(memory_format=LAST)

    def ours(weight, bias, residual, *inputs):
        return conv2d(inputs, weight, bias, activation, 0.1, residual, shuffle)

    def plain(weight, bias, residual, *inputs):
        x = inputs[0] if len(inputs) == 1 else torch.cat([v.to(dtype) for v in inputs], dim=1)
        y = F.conv2d(x, weight, bias, padding=side // 2)
        if activation is not None:
            y = F.relu(y) if activation == 'relu' else F.leaky_relu(y, 0.1)
        if shuffle > 1:
            y = F.pixel_shuffle(y, shuffle)
        return y if residual is None else residual + y

    def precision(call):
        """As autocast has it; float32 as TF32."""

        def cast(*tensors):
            torch.backends.cudnn.allow_tf32 = True
            with torch.autocast('cuda', torch.bfloat16, enabled=dtype == torch.bfloat16, cache_enabled=False):
                return call(*tensors)

        return cast

    kernel = weight.contiguous(memory_format=LAST)
    return Case(
        name, dtype, Form(precision(ours), [kernel, bias, near, *together]),
        Form(precision(plain), [weight, bias, residual, *inputs]),
        Form(precision(plain), [kernel, bias, near, *together]),
        {'products': 2 * n * h * w * weight.numel()}, passes=('forward',),
    )  # fmt: skip
