"""The kernels as operators of PyTorch: basicsr_ssm::flow_guided_deform_conv and its backward."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.layout import layout_of
from basicsr_ssm.ops.triton_support import multiprocessors, on_device_of

_COLUMNS = 32  # of a tile
_GROUPS = 4  # deformable groups of a block: one or two samples a thread, whose channels the registers hold
_PROGRAMS = 2048  # of the backward kernel, about


@torch.library.custom_op(
    'basicsr_ssm::flow_guided_deform_conv',
    mutates_args=(),
    schema='(Tensor feature, Tensor raw, Tensor flow, Tensor weight, Tensor? bias, float max_residue) -> Tensor',
)
def forward(feature, raw, flow, weight, bias, max_residue):
    from basicsr_ssm.ops.flow_guided_deform_conv.triton_forward import forward as kernel

    images, _, height, width = feature.shape
    sizes = _sizes(feature, raw, weight, 16 // feature.element_size())
    rows = 4
    if -(-width // _COLUMNS) * -(-height // rows) * images < 4 * multiprocessors(feature.device):
        rows = 2
    across, tiles = _tiles(feature, rows)
    g = _groups(sizes)
    bias = None if bias is None else bias.contiguous()
    out = _empty_like_out(feature, weight)
    with on_device_of(feature):
        kernel[(images * tiles,)](
            _planes(feature, sizes['V']), raw, flow, _taps(weight, feature), bias, out,
            float(max_residue), height, width, across, tiles, *raw.stride(), *flow.stride(), *out.stride(),
            **sizes, G=g, BLOCKS=-(-sizes['GROUPS'] // g), ROWS=rows, COLUMNS=_COLUMNS,
            BIAS=bias is not None, num_warps=2 * rows, num_stages=1,
        )  # fmt: skip
    return out


@torch.library.custom_op(
    'basicsr_ssm::flow_guided_deform_conv_backward',
    mutates_args=(),
    schema='(Tensor grad, Tensor feature, Tensor raw, Tensor flow, Tensor weight, float max_residue, '
    'bool deterministic) -> (Tensor, Tensor, Tensor, Tensor)',
)
def backward(grad, feature, raw, flow, weight, max_residue, deterministic):
    from basicsr_ssm.ops.flow_guided_deform_conv.triton_backward import backward as kernel

    images, channels, height, width = feature.shape
    exact = _exact(feature)
    sizes = _sizes(feature, raw, weight, 8 if exact else 4)
    # three products each need registers, and tiles as small as they get leave room for the most warps
    rows, warps = (1, 2) if exact else (2, 8)
    across, tiles = _tiles(feature, rows)
    g = _groups(sizes)
    parts = -(-sizes['GROUPS'] // g) * sizes['SIDE'] ** 2
    # tiles of a program: a power of two, for each is compiled anew
    turns = 1 << max(0, (images * tiles * parts // _PROGRAMS).bit_length() - 1)
    runs = -(-images * tiles // turns)
    planes = _planes(feature, sizes['V'])
    to_feature = torch.zeros_like(planes, dtype=torch.int64 if deterministic else torch.float32)
    to_raw = raw.new_empty(raw.shape)
    to_flow = flow.new_empty(parts, *flow.shape, dtype=torch.float32)
    to_weight = weight.new_empty(runs, weight.shape[0], sizes['SIDE'] ** 2, weight.shape[1], dtype=torch.float32)
    scale = _scale(grad, weight, images * tiles * rows * _COLUMNS * parts * g) if deterministic else None
    with on_device_of(feature):
        kernel[parts, runs](
            planes, raw, flow, _taps(weight, feature), grad, to_feature, to_raw, to_flow, to_weight, scale,
            float(max_residue), height, width, across, tiles, images,
            *raw.stride(), *flow.stride(), *grad.stride(),
            **sizes, G=g, TURNS=turns, ROWS=rows, COLUMNS=_COLUMNS, FIXED=deterministic,
            num_warps=warps, num_stages=1, maxnreg=None if exact else 128,  # so that two programs fit a multiprocessor
        )  # fmt: skip
    if deterministic:
        to_feature = to_feature.double() / scale
    dfeature, dflow, dweight = (v.new_empty(v.shape) for v in (feature, flow, weight))
    dfeature.unflatten(1, (-1, sizes['V'])).copy_(to_feature.permute(0, 1, 4, 2, 3))
    dflow.copy_(to_flow.sum(0))
    dweight.flatten(2).copy_(to_weight.sum(0).mT)
    return dfeature, to_raw, dflow, dweight


def _empty_like_out(feature, weight):
    shape = feature.shape[0], weight.shape[0], *feature.shape[2:]
    return torch.empty(shape, dtype=feature.dtype, device=feature.device, memory_format=layout_of(feature))


def _sizes(feature, raw, weight, most):
    """What both kernels are compiled for; `most` channels of a group are read together."""
    out, channels, side, _ = weight.shape
    groups = raw.shape[1] // (3 * side * side)
    size = channels // groups
    v = min(size, most)
    return dict(
        GROUPS=groups, PLANES=feature.shape[1] // size, PARTS=size // v, V=v, SIDE=side, OUT=out,
        N=max(16, 1 << (out - 1).bit_length()),
        EXACT=_exact(feature),
    )  # fmt: skip


def _exact(feature):
    """Whether float32 is to be multiplied as such; TF32 has the digits of the shorter types."""
    return feature.dtype == torch.float32 and not torch.backends.cuda.matmul.allow_tf32


def _groups(sizes):
    """Groups of a block; with their channels at least the 16 columns that a matrix product needs."""
    return max(min(_GROUPS, 1 << (sizes['GROUPS'] - 1).bit_length()), 16 // sizes['V'])


def _tiles(feature, rows):
    """Tiles in a row, and of an image."""
    across = -(-feature.shape[3] // _COLUMNS)
    return across, across * -(-feature.shape[2] // rows)


def _planes(feature, v):
    """(n, C / v, h, w, v)."""
    return feature.unflatten(1, (-1, v)).permute(0, 1, 3, 4, 2).contiguous()


def _taps(weight, feature):
    """(C', taps, m·C) in the dtype of the product."""
    return weight.flatten(2).mT.to(feature.dtype).contiguous()


def _scale(grad, weight, terms):
    """A power of two by which `terms` slopes of a feature's number stay below 2^62 in sum.

    No slope is larger than the largest of the output times the weights of its column.
    """
    largest = grad.abs().amax().float() * weight.float().abs().sum(0).amax()
    _, exponent = torch.frexp(largest)
    scale = torch.ldexp(torch.ones_like(largest), (61 - terms.bit_length() - exponent).clamp(-126, 126))
    return torch.where(largest.isfinite(), scale, torch.nan)


@forward.register_fake
def _(feature, raw, flow, weight, bias, max_residue):
    return _empty_like_out(feature, weight)


@backward.register_fake
def _(grad, feature, raw, flow, weight, max_residue, deterministic):
    return tuple(v.new_empty(v.shape) for v in (feature, raw, flow, weight))


def _keep(ctx, inputs, output):
    feature, raw, flow, weight, bias, ctx.max_residue = inputs
    ctx.bias = None if bias is None else bias.dtype
    ctx.save_for_backward(feature, raw, flow, weight)


def _gradients(ctx, grad):
    deterministic = torch.are_deterministic_algorithms_enabled()
    grads = backward(grad, *ctx.saved_tensors, ctx.max_residue, deterministic)
    bias = None if ctx.bias is None else grad.sum((0, 2, 3), dtype=torch.float32).to(ctx.bias)
    return *grads, bias, None


forward.register_autograd(_gradients, setup_context=_keep)
