"""The windowed SSD in Triton: one launch forward, one backward and a sum over the windows for the parameters."""

from __future__ import annotations

import math

import torch
from torch.autograd.function import once_differentiable

from basicsr_ssm.ops import triton_support

_MOST_TOKENS, _MOST_HEADS = 256, 8
_FORWARD_CHUNK, _BACKWARD_CHUNK = 32, 16  # tokens; what the registers hold


def why_not(*args) -> str | None:
    reason = triton_support.why_not(*args)
    if reason is not None or not args:
        return reason
    projected, heads = args[0], args[-4].shape[0]  # of the arguments of either form
    if projected.shape[1] > _MOST_TOKENS:
        return f'{projected.shape[1]} tokens a window, {_MOST_TOKENS} at most'
    if heads > _MOST_HEADS:
        return f'{heads} heads, {_MOST_HEADS} at most'
    return None


def cross(projected, readout, conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, A_log, D, gain, eps):
    parameters = (conv_weight, conv_bias, dt_bias, A_log, D, gain, readout_weight, readout_bias, pe)
    return _call(projected, readout, parameters, eps)


def inner(projected, conv_weight, conv_bias, dt_bias, A_log, D, gain, shift, eps):
    return _call(projected, None, (conv_weight, conv_bias, dt_bias, A_log, D, gain, shift), eps)


def _call(projected, readout, parameters, eps):
    tensors = (*map(_rows, (projected, readout)), *(v.contiguous() for v in parameters))
    if torch.is_grad_enabled() and any(v is not None and v.requires_grad for v in tensors):
        return _WindowedSSD.apply(eps, *tensors)
    return _forward(eps, *tensors)


def _rows(v):
    """v, or a copy, with the numbers of a token side by side."""
    return v if v is None or v.stride(2) == 1 else v.contiguous()


class _WindowedSSD(torch.autograd.Function):
    @staticmethod
    def forward(ctx, eps, *tensors):
        ctx.eps = eps
        ctx.save_for_backward(*tensors)
        return _forward(eps, *tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return None, *_backward(ctx.eps, grad, *ctx.saved_tensors)


def _sizes(projected, readout, dt_bias, most):
    """The sizes that the kernels are compiled for: chunks of `most` tokens at most, a warp a head."""
    length, heads = projected.shape[1], dt_bias.shape[0]
    padded = 1 << (heads - 1).bit_length()
    tokens = max(16, 1 << (length - 1).bit_length())
    chunk = min(most, tokens)
    return dict(
        ROW=projected.stride(1),
        READOUT_ROW=0 if readout is None else readout.stride(1),
        SCRATCH=length * (heads * 16 + 48) + 2 * padded * tokens,
        LENGTH=length,
        WINDOW=0 if readout is None else math.isqrt(length),
        TOKENS=tokens,
        CHUNK=chunk,
        CHUNKS=-(-length // chunk),
        HEADS=heads,
        PADDED=padded,
        CROSS=readout is not None,
        EXACT=projected.dtype == torch.float32,  # TF32 has the digits of the shorter types
        num_warps=padded,
        num_stages=1,
    )


def _forward(eps, projected, readout, conv_weight, conv_bias, dt_bias, A_log, D, gain, *others):
    from basicsr_ssm.ops.windowed_ssd.triton_forward import forward

    sizes = _sizes(projected, readout, dt_bias, _FORWARD_CHUNK)
    batch, length = projected.shape[:2]
    readout_weight, readout_bias, pe, shift = (*others, None) if sizes['CROSS'] else (None, None, None, *others)
    out = projected.new_empty(batch, length, gain.shape[0])
    scratch = projected.new_empty(batch, sizes['SCRATCH'], dtype=torch.float32)
    with torch.cuda.device_of(projected):
        forward[(batch,)](
            projected, readout, out, scratch,
            conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, A_log, D, gain, shift,
            projected.stride(0), 0 if readout is None else readout.stride(0), **sizes, EPS=eps,
        )  # fmt: skip
    return out


def _backward(eps, grad, projected, readout, *parameters):
    """Gradients of projected, readout and the parameters."""
    from basicsr_ssm.ops.windowed_ssd.triton_backward import backward

    conv_weight, conv_bias, dt_bias, A_log, D, gain, *others = parameters
    sizes = _sizes(projected, readout, dt_bias, _BACKWARD_CHUNK)
    sizes['SCRATCH'] += sizes['CHUNKS'] * sizes['PADDED'] * 256
    sizes['num_warps'] = max(4, sizes['num_warps'])  # two alone run out of registers
    batch = projected.shape[0]
    readout_weight, readout_bias, pe = others if sizes['CROSS'] else (None, None, None)
    to_projected = projected.new_empty(projected.shape)
    to_readout = None if readout is None else readout.new_empty(readout.shape)
    scratch = projected.new_empty(batch, sizes['SCRATCH'], dtype=torch.float32)
    counts = [v.numel() for v in parameters]
    partial = projected.new_empty(batch, sum(counts), dtype=torch.float32)
    with torch.cuda.device_of(projected):
        backward[(batch,)](
            projected, readout, scratch, grad.contiguous(),
            conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, A_log, D, gain,
            to_projected, to_readout, partial,
            projected.stride(0), 0 if readout is None else readout.stride(0),
            **sizes, PARTIAL=sum(counts), EPS=eps,
        )  # fmt: skip
    shares = partial.sum(0).split(counts)
    return to_projected, to_readout, *(s.view(v.shape).to(v.dtype) for s, v in zip(shares, parameters, strict=True))
