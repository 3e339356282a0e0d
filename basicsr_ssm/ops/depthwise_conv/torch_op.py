"""The kernels as operators of PyTorch: torch.compile and torch.export take each as one node.

The gradient of x is the convolution of the slopes with the filters turned by half a turn, so that operator is its own
derivative. They take mixed dtypes, so autocast has nothing to cast.
"""

from __future__ import annotations

import torch

from basicsr_ssm.ops.triton_support import multiprocessors, on_device_of

_LINES = 4  # warps of a program
_BLOCK, _NARROW_BLOCK = 64, 32  # channels of a warp; the narrow one where two filters a lane do not fit the registers
_MOST_WIDE_TAPS = 49
_STRIPS = 64, 32, 16  # columns that a warp walks along: the longest that leave every multiprocessor _ENOUGH programs
_ENOUGH = 6


@torch.library.custom_op(
    'basicsr_ssm::depthwise_conv',
    mutates_args=(),
    schema='(Tensor x, Tensor weight, Tensor? bias, bool turned) -> Tensor',
)
def convolve(x, weight, bias, turned):
    """x (n, t, h, w, c), weight (c, 1, kt, kh, kw), bias (c,). turned: with the filters turned, the gradient of x."""
    from basicsr_ssm.ops.depthwise_conv.triton_kernels import convolve as kernel

    x = _channels_last(x)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    filters = weight.reshape(len(weight), -1).t().contiguous()
    taps = len(filters)
    grid, numbers, sizes = _cut(x, weight.shape[2:], x)
    order = (taps - 1, -1) if turned else (0, 1)
    # the registers of three programs on a multiprocessor, where that costs next to no spills
    registers = 168 if taps <= 27 or (taps <= _MOST_WIDE_TAPS and weight.shape[2] == 1) else None
    with on_device_of(x):
        kernel[grid](
            x, filters, filters if bias is None else bias.contiguous(), out,
            *numbers, *order, int(bias is not None), *_strides(x, sizes['VEC']), **sizes, maxnreg=registers,
        )  # fmt: skip
    return out


@torch.library.custom_op(
    'basicsr_ssm::depthwise_conv_filter_slopes',
    mutates_args=(),
    schema='(Tensor dy, Tensor x, SymInt[] size) -> (Tensor, Tensor)',
)
def filter_slopes(dy, x, size):
    """Gradients of the weight (c, 1, *size) and of the bias (c,), float32."""
    from basicsr_ssm.ops.depthwise_conv.triton_kernels import filter_slopes as kernel

    x, dy = _channels_last(x), _channels_last(dy)
    channels = x.shape[-1]
    (programs, rows, n), numbers, sizes = _cut(x, size, x, dy)
    taps = size[0] * size[1] * size[2]
    shares = programs // numbers[4] * rows * n
    partial = torch.empty(shares, taps + 1, channels, dtype=torch.float32, device=x.device)
    with on_device_of(x):
        kernel[programs, rows, n](
            x, dy, partial, *numbers, *_strides(x, sizes['VEC']), *_strides(dy, sizes['VEC']), **sizes,
            maxnreg=168 if taps <= 27 else None,
        )  # fmt: skip
    sums = partial.sum(0)
    return sums[:taps].t().reshape(channels, 1, *size).contiguous(), sums[taps].clone()


def _channels_last(v):
    """v, or a copy: the channels of a pixel side by side, and offsets within a strip that fit 32 bits."""
    near = all(s < 2**24 for s, d in zip(v.stride()[2:4], v.shape[2:4], strict=True) if d > 1)
    return v if near and (v.stride(-1) == 1 or v.shape[-1] == 1) else v.contiguous()


def _strides(v, vec):
    """Of the dimensions that there is anything to step over in, in units of `vec` numbers."""
    return [s // vec if d > 1 else 0 for s, d in zip(v.stride()[:4], v.shape[:4], strict=True)]


def _cut(x, size, *tensors):
    """The grid, the numbers that the kernels share, and what they are compiled for."""
    n, t, h, w, channels = x.shape
    kt, kh, kw = size
    taps = kt * kh * kw
    # frames next to each other share most of what they read; an odd last one of two at a time is a loss
    frames, whole = 1, t == 1
    if kt == 3 and taps <= 27 and t > 1:
        frames, whole = (t, True) if t <= 3 else (2 if t % 2 == 0 or t > 6 else 1, False)
    rows = 4 if frames == 1 and taps <= 27 else 2
    block = _BLOCK if taps <= _MOST_WIDE_TAPS else _NARROW_BLOCK
    blocks, groups, bands = -(-channels // block), -(-t // frames), -(-h // (_LINES * rows))
    for strip in _STRIPS:
        strips = -(-w // strip)
        grid = (strips * groups * blocks, bands, n)
        if grid[0] * bands * n >= _ENOUGH * multiprocessors(x.device):
            break
    strip = -(-w // strips)
    steps = [channels, *(s for v in tensors for s, d in zip(v.stride()[:4], v.shape[:4], strict=True) if d > 1)]
    vec = 1 if any(s % 2 for s in steps) else 2
    sizes = dict(
        KT=kt, KH=kh, KW=kw, FRAMES=frames, WHOLE=whole, ROWS=rows, LINES=_LINES, STEPS=strip + kw - 1, BLOCK=block,
        VEC=vec, num_warps=_LINES,
    )  # fmt: skip
    return grid, (t, h, w, channels // vec, blocks, groups, strip), sizes


@convolve.register_fake
def _(x, weight, bias, turned):
    return x.new_empty(x.shape)


@filter_slopes.register_fake
def _(dy, x, size):
    channels = x.shape[-1]
    return x.new_empty((channels, 1, *size), dtype=torch.float32), x.new_empty(channels, dtype=torch.float32)


def _keep(ctx, inputs, output):
    x, weight, bias, ctx.turned = inputs
    ctx.bias_dtype = None if bias is None else bias.dtype
    ctx.save_for_backward(x, weight)


def _gradients(ctx, dy):
    x, weight = ctx.saved_tensors
    dx = dweight = dbias = None
    if ctx.needs_input_grad[0]:
        dx = convolve(dy, weight, None, not ctx.turned)
    if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
        dweight, dbias = filter_slopes(dy, x, weight.shape[2:])
        dweight = (dweight.flip(2, 3, 4) if ctx.turned else dweight).to(weight.dtype)
        dbias = None if ctx.bias_dtype is None else dbias.to(ctx.bias_dtype)
    return dx, dweight, dbias, None


convolve.register_autograd(_gradients, setup_context=_keep)
