"""selective_scan beside mamba-ssm's selective_scan_cuda, which gets its channel-major inputs ready-made.

'both' stands beside two of its calls, the flips of one, the sum and the gate. The last shape is that of the windowed
scan as a general kernel sees it. Exponentials: one a state and token; our passes over chunks take two.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops import selective_scan
from operators import vendors
from operators.measure import Case, Form

STATES = 16
SHAPES = ((1, 240, 172800), (8, 240, 12288), (4096, 240, 9))


def cases(short: bool):
    for shape in SHAPES[:1] if short else SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            if short and dtype != torch.float32:
                continue
            for direction in ('forward', 'both'):
                yield case(shape, dtype, direction)


def case(shape, dtype, direction):
    tensors = inputs(*shape, direction == 'both', dtype)
    b, d, length = shape
    exponentials = b * d * length * STATES * (2 if direction == 'both' else 1)
    return Case(
        f'{b} × {d} × {length:,}, {direction}', dtype, form(tensors, direction, None),
        form(tensors, direction, 'reference'), vendor(tensors, direction), {'exponentials': exponentials},
    )  # fmt: skip


def form(tensors, direction, backend):
    return Form(lambda *v: selective_scan(*v, delta_softplus=True, direction=direction, backend=backend), tensors)


def vendor(tensors, direction):
    module = vendors.mamba('ops.selective_scan_interface')
    if module is None:
        return None
    scan = module.selective_scan_fn
    call = (lambda *v: two_scans(scan, *v)) if direction == 'both' else (lambda *v: scan(*v, delta_softplus=True))
    tokens = 0, 1, 3, 4, 6
    return Form(call, [v.mT.contiguous() if i in tokens else v for i, v in enumerate(tensors)])


def two_scans(scan, u, delta, A, B, C, D, z, bias):
    y = scan(u, delta, A[0], B, C, D[0], None, bias, delta_softplus=True)
    back = [v.flip(2) for v in (u, delta, B, C)]
    y = y + scan(*back[:2], A[1], *back[2:], D[1], None, bias, delta_softplus=True).flip(2)
    return y * F.silu(z)


def inputs(b, d, length, both, dtype):
    """As a Mamba block has them at the start of training: A = −1 … −n, steps of 0.001 to 0.1 (Gu & Dao, Sec. 3.6)."""
    g = torch.Generator('cuda').manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=g, device='cuda').to(dtype)

    sets = (2,) if both else ()
    step = torch.exp(torch.empty(d, device='cuda').uniform_(-6.9, -2.3, generator=g))
    return [
        normal(b, length, d),
        0.3 * normal(b, length, d),
        -torch.arange(1, STATES + 1.0, device='cuda').repeat(*sets, d, 1),
        normal(b, length, STATES),
        normal(b, length, STATES),
        torch.ones(*sets, d, device='cuda'),
        normal(b, length, d),
        step + torch.log(-torch.expm1(-step)),
    ]
