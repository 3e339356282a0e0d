"""What the operators of this package cost: for each the shape of its result, and its multiply-adds by kind.

The arguments are those that an operator hands to its backends (see `basicsr_ssm.ops`), and a backend is what
`basicsr_ssm.tables.counting` makes of these functions. What is missing here is counted by its reference.
"""

from __future__ import annotations

import math

import torch

# Multiply-adds of a scan for each token, channel and state: Δ·A, Δu·B, the decay of the state, C·h.
SELECTIVE_SCAN = 4
# Δ·A is one a head where the decay is: Δu·B, the decay of the state, C·h.
SSD = 3
# Of a bilinear sample: four neighbours.
SAMPLE = 4

Counted = tuple[torch.Tensor, dict[str, int]]


def selective_scan(u, delta, A, B, C, D, z, bias, softplus, direction) -> Counted:
    tokens = u.shape[0] * u.shape[1]
    return torch.empty_like(u), {'scans': SELECTIVE_SCAN * tokens * A.numel()}  # A has a set for each direction


def window_cross_scan(frame, positions, encoding, C, A, D) -> Counted:
    places = math.prod(positions.shape[:-1])
    result = frame.new_empty(*positions.shape[:3], A.shape[0])
    return result, {'scans': SELECTIVE_SCAN * places * A.numel(), 'sampling': SAMPLE * places * frame.shape[3]}


def ssd(x, dt, A, B, C, D, chunk_size) -> Counted:
    return torch.empty_like(x), {'scans': SSD * x.numel() * B.shape[3]}


def cross_window_ssd(projected, readout, conv, conv_bias, readout_conv, readout_bias, pe, *others) -> Counted:
    gain = others[3]
    tokens, d = math.prod(projected.shape[:2]), gain.shape[0]
    short = conv.numel() + readout_conv.numel() + pe.numel()
    result = projected.new_empty(*projected.shape[:2], d)
    return result, {'scans': SSD * tokens * d * readout.shape[2], 'short_convolutions': tokens * short}


def inner_window_ssd(projected, conv, conv_bias, dt_bias, A_log, D, gain, shift, eps) -> Counted:
    tokens, d = math.prod(projected.shape[:2]), gain.shape[0] // 2
    states = (conv.shape[0] - d) // 2
    result = projected.new_empty(*projected.shape[:2], 2 * d)
    return result, {'scans': SSD * tokens * d * states, 'short_convolutions': tokens * conv.numel()}


def causal_conv1d(x, weight, bias, activation) -> Counted:
    return torch.empty_like(x), {'short_convolutions': x.numel() * weight.shape[1]}


def depthwise_conv(x, weight, bias) -> Counted:
    return torch.empty_like(x), {'convolutions': x.numel() * math.prod(weight.shape[2:])}


def deform_conv2d(x, offset, mask, weight, bias, padding) -> Counted:
    return _deform(x, weight, offset.shape[2:])


def flow_guided_deform_conv(feature, raw, flow, weight, bias, max_residue) -> Counted:
    return _deform(feature, weight, raw.shape[2:])


def _deform(x, weight, size) -> Counted:
    pixels = len(x) * math.prod(size)
    samples = pixels * math.prod(weight.shape[1:])
    counts = {'deformable_convolutions': pixels * weight.numel(), 'sampling': SAMPLE * samples}
    return x.new_empty(len(x), len(weight), *size), counts


def flow_warp(x, flow, padding) -> Counted:
    return torch.empty_like(x), {'sampling': SAMPLE * x.numel()}


def layer_norm(x, weight, bias, eps) -> Counted:
    return torch.empty_like(x), {}


OPERATORS = {
    'causal_conv1d': causal_conv1d,
    'cross_window_ssd': cross_window_ssd,
    'deform_conv2d': deform_conv2d,
    'depthwise_conv2d': depthwise_conv,
    'depthwise_conv3d': depthwise_conv,
    'flow_guided_deform_conv': flow_guided_deform_conv,
    'flow_warp': flow_warp,
    'inner_window_ssd': inner_window_ssd,
    'layer_norm': layer_norm,
    'selective_scan': selective_scan,
    'ssd': ssd,
    'window_cross_scan': window_cross_scan,
}
