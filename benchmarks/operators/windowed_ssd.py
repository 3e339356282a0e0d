"""The windowed SSD of MedVSR beside the same steps in mamba-ssm's and causal-conv1d's kernels.

Windows of 16 × 16 tokens, 64 channels: 108 are those of a 144 × 180 frame, 1,024 those of 512 × 512. The vendors' path
is causal_conv1d_fn on [u, B] and on C, a depthwise conv2d for `pe`, mamba_chunk_scan_combined with one chunk and
layernorm_gated's norm (cross), or LayerNorm of the concatenation (inner). causal-conv1d wants rows of a multiple of 8
numbers, so its inputs are copied out of the projection first, as any caller has to. mamba-ssm's kernels choose between
two of their configurations each, evenly spread: all would take minutes.

Multiply-adds: state update 3, readout 2 a number of the state.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops import cross_window_ssd, inner_window_ssd
from operators import vendors
from operators.measure import Case, Form

TOKENS, WINDOW, CHANNELS = 256, 16, 64


def cases(short: bool):
    ready = vendors.causal_conv1d() is not None and vendors.mamba('ops.triton.ssd_combined') is not None
    if ready:
        vendors.mamba('ops.triton.layernorm_gated')
        vendors.few_configurations()
    for name, (operator, theirs, make) in FORMS.items():
        for windows in (108,) if short else (108, 1024):
            for dtype in (torch.float32,) if short else (torch.float32, torch.bfloat16):
                tensors = make(windows, dtype)
                ours, plain = (Form(lambda *v, b=b, f=operator: f(*v, backend=b), tensors) for b in (None, 'reference'))
                numbers = windows * TOKENS * 256 * (CHANNELS if name == 'cross' else CHANNELS // 2) // 16
                yield Case(
                    f'{name}, {windows:,} windows', dtype, ours, plain, Form(theirs, tensors) if ready else None,
                    {'multiply-adds': 5 * numbers}, more=3,
                )  # fmt: skip


def cross_inputs(windows, dtype):
    d, h = CHANNELS, CHANNELS // 16
    return inputs(
        (windows, TOKENS, 2 * d + 16 + h), dtype, (windows, TOKENS, 16), (d + 16, 3), (d + 16,), (16, 3), (16,),
        (16, 3, 3), heads=h, norm=((d,),),
    )  # fmt: skip


def inner_inputs(windows, dtype):
    d, h = CHANNELS // 2, CHANNELS // 32
    projected = (windows, TOKENS, 2 * d + 32 + h)
    return inputs(projected, dtype, (d + 32, 3), (d + 32,), heads=h, norm=((2 * d,), (2 * d,)))


def inputs(projected, dtype, *shapes, heads, norm):
    """Activations in dtype, parameters in float32 as under autocast; steps and decays as at the start of training."""
    g = torch.Generator('cuda').manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=g, device='cuda')

    step = torch.exp(torch.empty(heads, device='cuda').uniform_(-6.9, -2.3, generator=g))
    tensors = [normal(*projected).to(dtype)]
    for shape in shapes:
        activation = len(shape) == 3 and shape[1] == TOKENS
        tensors.append(normal(*shape).to(dtype) if activation else 0.3 * normal(*shape))
    tensors += [step.expm1().log(), torch.empty(heads, device='cuda').uniform_(1, 16, generator=g).log(), normal(heads)]
    return tensors + [1 + 0.1 * normal(*shape) for shape in norm]


def conv(x, weight, bias):
    x = x.contiguous().transpose(1, 2)
    call = vendors.causal_conv1d().causal_conv1d_fn
    return call(x, weight.to(x.dtype), bias.to(x.dtype), activation='silu').transpose(1, 2)


def scan(u, dt, B, C, dt_bias, A_log, D):
    u, B, C = u.unflatten(2, (-1, 16)), B.unsqueeze(2), C.unsqueeze(2)
    call = vendors.mamba('ops.triton.ssd_combined').mamba_chunk_scan_combined
    return call(u, dt, -A_log.exp(), B, C, TOKENS, D=D, dt_bias=dt_bias, dt_softplus=True).flatten(2)


def their_cross(projected, readout, weight, bias, readout_weight, readout_bias, pe, dt_bias, A_log, D, gain):
    d, h = gain.shape[0], A_log.shape[0]
    z, u_B, dt = projected.split([d, d + 16, h], 2)
    u, B = conv(u_B, weight, bias).split([d, 16], 2)
    C = conv(readout, readout_weight, readout_bias)
    C = C.mT.unflatten(2, (WINDOW, WINDOW))
    C = F.conv2d(C, pe.to(C.dtype).unsqueeze(1), padding=1, groups=16).flatten(2).mT
    y = scan(u, dt, B, C, dt_bias, A_log, D)
    norm = vendors.mamba('ops.triton.layernorm_gated').rmsnorm_fn
    return norm(y, gain, None, z=z, eps=1e-5, norm_before_gate=False)


def their_inner(projected, weight, bias, dt_bias, A_log, D, gain, shift):
    h = A_log.shape[0]
    d = 16 * h
    z, u_B_C, dt = projected.split([d, d + 32, h], 2)
    u, B, C = conv(u_B_C, weight, bias).split([d, 16, 16], 2)
    y = torch.cat([scan(u, dt, B, C, dt_bias, A_log, D), z], 2)
    return F.layer_norm(y, gain.shape, gain.to(y.dtype), shift.to(y.dtype))


FORMS = {
    'cross': (cross_window_ssd, their_cross, cross_inputs),
    'inner': (inner_window_ssd, their_inner, inner_inputs),
}
