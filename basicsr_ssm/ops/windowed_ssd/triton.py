"""The windowed SSD in Triton: one launch forward, one backward and a sum over the windows for the parameters."""

from __future__ import annotations

import math

import torch

from basicsr_ssm.ops import triton_support

_MOST_TOKENS, _MOST_HEADS = 256, 8
_FORWARD_CHUNK, _BACKWARD_CHUNK = 32, 16  # tokens; what the registers hold
# Of a program that has a multiprocessor for itself, since a frame has so few windows: one for each head of each chunk
# that is worked on at a time. Otherwise one for each head, with less to wait for.
_WARPS = 8


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
    others = readout_weight, readout_bias, pe, None
    return _operator()(projected, readout, conv_weight, conv_bias, dt_bias, A_log, D, gain, *others, eps)


def inner(projected, conv_weight, conv_bias, dt_bias, A_log, D, gain, shift, eps):
    others = None, None, None, shift
    return _operator()(projected, None, conv_weight, conv_bias, dt_bias, A_log, D, gain, *others, eps)


def _operator():
    from basicsr_ssm.ops.windowed_ssd.torch_op import windowed_ssd

    return windowed_ssd


def _rows(v):
    """v, or a copy, with the numbers of a token side by side."""
    return v if v is None or v.stride(2) == 1 else v.contiguous()


def _sizes(projected, readout, dt_bias, most):
    """The sizes that the kernels are compiled for: chunks of `most` tokens at most."""
    length, heads = projected.shape[1], dt_bias.shape[0]
    padded = 1 << (heads - 1).bit_length()
    tokens = max(16, 1 << (length - 1).bit_length())
    chunk = min(most, tokens)
    few = projected.shape[0] <= triton_support.multiprocessors(projected.device)
    together = max(1, min(_WARPS // padded, tokens // chunk)) if few else 1
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
        TOGETHER=together,
        num_warps=together * padded,
        num_stages=1,
    )


def forward(projected, readout, *parameters):
    """Arguments as those of the operator in `torch_op`."""
    from basicsr_ssm.ops.windowed_ssd.triton_forward import forward as kernel

    *parameters, eps = parameters
    projected, readout = _rows(projected), _rows(readout)
    conv_weight, conv_bias, dt_bias, A_log, D, gain, readout_weight, readout_bias, pe, shift = map(_whole, parameters)
    sizes = _sizes(projected, readout, dt_bias, _FORWARD_CHUNK)
    batch, length = projected.shape[:2]
    out = projected.new_empty(batch, length, gain.shape[0])
    scratch = projected.new_empty(batch, sizes['SCRATCH'], dtype=torch.float32)
    with triton_support.on_device_of(projected):
        kernel[(batch,)](
            projected, readout, out, scratch,
            conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, A_log, D, gain, shift,
            projected.stride(0), 0 if readout is None else readout.stride(0), **sizes, EPS=eps,
        )  # fmt: skip
    return out


def _whole(v):
    return None if v is None else v.contiguous()


def backward(grad, projected, readout, *parameters):
    """Gradients of the tensors that there are, in their order, shapes and dtypes."""
    from basicsr_ssm.ops.windowed_ssd.triton_backward import backward as kernel

    *parameters, eps = parameters
    projected, readout, parameters = _rows(projected), _rows(readout), [*map(_whole, parameters)]
    conv_weight, conv_bias, dt_bias, A_log, D, gain, readout_weight, readout_bias, pe, _ = parameters
    sizes = _sizes(projected, readout, dt_bias, _BACKWARD_CHUNK)
    together = sizes['TOGETHER']
    sizes['SCRATCH'] += -(-sizes['CHUNKS'] // together) * together * sizes['PADDED'] * 256
    sizes['num_warps'] = max(4, sizes['num_warps'])  # two alone run out of registers
    batch = projected.shape[0]
    to_projected = projected.new_empty(projected.shape)
    to_readout = None if readout is None else readout.new_empty(readout.shape)
    scratch = projected.new_empty(batch, sizes['SCRATCH'], dtype=torch.float32)
    parameters = [v for v in parameters if v is not None]
    counts = [v.numel() for v in parameters]
    partial = projected.new_empty(batch, sum(counts), dtype=torch.float32)
    with triton_support.on_device_of(projected):
        kernel[(batch,)](
            projected, readout, scratch, grad.contiguous(),
            conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, A_log, D, gain,
            to_projected, to_readout, partial,
            projected.stride(0), 0 if readout is None else readout.stride(0),
            **sizes, PARTIAL=sum(counts), EPS=eps,
        )  # fmt: skip
    shares = partial.sum(0).split(counts)
    to_parameters = [share.view(v.shape).to(v.dtype, copy=True) for share, v in zip(shares, parameters, strict=True)]
    return [v for v in (to_projected, to_readout) if v is not None] + to_parameters
