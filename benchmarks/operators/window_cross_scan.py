"""window_cross_scan, sampling included, beside what it replaces: sampling, transposing and selective_scan_cuda.

180 × 320 pixels are a frame of REDS; 64 × 64 is training. Exponentials: one a state, channel and point but the first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops import window_cross_scan
from basicsr_ssm.ops.cross_scan import sample_points
from operators import vendors
from operators.measure import Case, Form

SHAPES = ((1, 180, 320, 120), (1, 64, 64, 240), (8, 64, 64, 120))
POINTS, STATES = 9, 16


def cases(short: bool):
    for n, h, w, d in SHAPES[:1] if short else SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            tensors = inputs(n, h, w, d, dtype)
            yield Case(
                f'{n} × {h} × {w} × {d}', dtype, form(tensors, None), form(tensors, 'reference'), vendor(tensors),
                {'exponentials': n * h * w * (POINTS - 1) * d * STATES},
            )  # fmt: skip


def form(tensors, backend):
    return Form(lambda *v: window_cross_scan(*v, backend=backend), tensors)


def vendor(tensors):
    module = vendors.mamba('ops.selective_scan_interface')
    if module is None:
        return None

    def call(frame, positions, encoding, C, A, D):
        d = A.shape[0]
        samples = sample_points(frame.float(), positions).to(frame.dtype)  # in float32, as under autocast
        samples = (samples + encoding.to(frame.dtype)).flatten(0, 2).mT  # (pixels, 2d + s, k)
        u, delta, B = (v.contiguous() for v in samples.split([d, d, STATES], dim=1))
        C = C.flatten(0, 2)[:, None, :, None].expand(-1, 1, -1, POINTS).contiguous()
        y = module.selective_scan_fn(u, delta, A, B[:, None], C, D, delta_softplus=True)
        return y[:, :, -1].reshape(*positions.shape[:3], d)

    return Form(call, tensors)


def inputs(n, h, w, d, dtype):
    """As alignment has them: a smooth flow, offsets of the points within a pixel, steps of 0.001 to 0.1 at first."""
    g = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing='ij')
    flow = 4 * torch.randn(n, 2, h // 8 + 1, w // 8 + 1, generator=g)
    flow = F.interpolate(flow, size=(h, w), mode='bilinear').permute(0, 2, 3, 1)
    whole = torch.stack([x, y], -1) + flow
    whole = whole.clamp(min=0).minimum(torch.tensor([w - 1.0, h - 1.0])).floor()
    region = torch.tensor([(x, y) for y in (-1.0, 0, 1) for x in (-1.0, 0, 1)])
    offsets = torch.tanh(torch.randn(n, h, w, POINTS, 2, generator=g))
    encoding = 0.1 * torch.randn(POINTS, 2 * d + STATES, generator=g)
    encoding[:, d : 2 * d] += torch.empty(d).uniform_(-6.9, -2.3, generator=g).exp().expm1().log()
    tensors = (
        0.5 * torch.randn(n, h, w, 2 * d + STATES, generator=g).to(dtype),
        whole.unsqueeze(3) + region + offsets,
        encoding,
        torch.randn(n, h, w, STATES, generator=g).to(dtype),
        -torch.arange(1.0, STATES + 1).repeat(d, 1),
        torch.ones(d),
    )
    return [v.cuda() for v in tensors]
