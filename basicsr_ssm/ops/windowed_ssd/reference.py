"""The windowed SSD out of the operators it is made of, in float32 or better."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from basicsr_ssm.ops.causal_conv1d import causal_conv1d
from basicsr_ssm.ops.ssd import ssd

SIZE = 16  # of a head, and its number of states


def cross(projected, readout, conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, A_log, D, gain, eps):
    d, window = gain.shape[0], math.isqrt(projected.shape[1])
    with torch.autocast(projected.device.type, enabled=False):
        z, u_B, dt = _exact(projected).split([d, d + SIZE, d // SIZE], 2)
        u, B = _conv_silu(u_B, conv_weight, conv_bias).split([d, SIZE], 2)
        C = _conv_silu(_exact(readout), readout_weight, readout_bias)
        C = F.conv2d(C.mT.unflatten(2, (window, window)), pe.to(C.dtype).unsqueeze(1), padding=1, groups=SIZE)
        v = _scan(u, dt, B, C.flatten(2).mT, dt_bias, A_log, D) * F.silu(z)
        v = v * torch.rsqrt(v.square().mean(-1, keepdim=True) + eps) * gain.to(v.dtype)
    return v.to(projected.dtype)


def inner(projected, conv_weight, conv_bias, dt_bias, A_log, D, gain, shift, eps):
    d = gain.shape[0] // 2
    with torch.autocast(projected.device.type, enabled=False):
        z, u_B_C, dt = _exact(projected).split([d, d + 2 * SIZE, d // SIZE], 2)
        u, B, C = _conv_silu(u_B_C, conv_weight, conv_bias).split([d, SIZE, SIZE], 2)
        v = torch.cat([_scan(u, dt, B, C, dt_bias, A_log, D), z], 2)
        v = F.layer_norm(v, v.shape[2:], gain.to(v.dtype), shift.to(v.dtype), eps)
    return v.to(projected.dtype)


def _exact(v):
    return v.to(torch.promote_types(v.dtype, torch.float32))


def _conv_silu(x, weight, bias):
    return causal_conv1d(x, weight, bias, activation='silu')


def _scan(u, dt, B, C, dt_bias, A_log, D):
    dt = F.softplus(dt + dt_bias.to(dt.dtype))
    y = ssd(u.unflatten(2, (-1, SIZE)), dt, -A_log.to(dt.dtype).exp(), B.unsqueeze(2), C.unsqueeze(2), D)
    return y.flatten(2)
