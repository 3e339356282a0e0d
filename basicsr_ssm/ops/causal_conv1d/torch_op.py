"""The causal convolution's Triton kernels as operators of PyTorch, basicsr_ssm::causal_conv1d and its backward."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.triton_support import multiprocessors, on_device_of

_GROUP = 8  # tokens that are read together
_RUNS = 16, 32, 64  # tokens of a program
_PROGRAMS = 16  # of a multiprocessor at least, where there is enough to do


@torch.library.custom_op(
    'basicsr_ssm::causal_conv1d',
    mutates_args=(),
    schema='(Tensor x, Tensor weight, Tensor? bias, bool silu) -> Tensor',
)
def forward(x, weight, bias, silu):
    from basicsr_ssm.ops.causal_conv1d.triton_kernels import forward as kernel

    x, bias = _rows(x), None if bias is None else bias.contiguous()
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    grid, sizes = _sizes(x, weight, bias, silu)
    with on_device_of(x):
        kernel[grid](x, weight, bias, y, x.shape[1], x.stride(0), x.stride(1), *weight.stride(), **sizes)
    return y


@torch.library.custom_op(
    'basicsr_ssm::causal_conv1d_backward',
    mutates_args=(),
    schema='(Tensor grad, Tensor x, Tensor weight, Tensor? bias, bool silu) -> (Tensor, Tensor, Tensor)',
)
def backward(grad, x, weight, bias, silu):
    from basicsr_ssm.ops.causal_conv1d.triton_kernels import backward as kernel

    x, grad, bias = _rows(x), _rows(grad), None if bias is None else bias.contiguous()
    dx = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    (runs, blocks, batch), sizes = _sizes(x, weight, bias, silu)
    channels, taps = weight.shape
    partial = torch.empty(batch * runs, taps + 1, channels, dtype=torch.float32, device=x.device)
    with on_device_of(x):
        kernel[runs, blocks, batch](
            x, weight, bias, grad, dx, partial,
            x.shape[1], runs, x.stride(0), x.stride(1), grad.stride(0), grad.stride(1), *weight.stride(), **sizes,
        )  # fmt: skip
    sums = partial.sum(0)
    dweight, dbias = weight.new_empty(weight.shape), (weight if bias is None else bias).new_empty(channels)
    return dx, dweight.copy_(sums[:taps].T), dbias.copy_(sums[taps])


def _rows(v):
    """v, or a copy: the channels of a token side by side, and offsets within a run that fit 32 bits."""
    return v if v.stride(2) == 1 and 0 < v.stride(1) < 2**24 else v.contiguous()


def _sizes(x, weight, bias, silu):
    """The grid (runs, blocks of channels, batch), and what the kernels are compiled for."""
    batch, length, channels = x.shape
    block = min(128, max(32, 1 << (channels - 1).bit_length()))
    blocks = -(-channels // block)
    enough = _PROGRAMS * multiprocessors(x.device)
    run = next((r for r in reversed(_RUNS) if batch * blocks * (length // r) >= enough), _RUNS[0])
    sizes = dict(
        CHANNELS=channels, K=weight.shape[1], RUN=run, GROUP=_GROUP, BLOCK=block, BIAS=bias is not None, SILU=silu,
        num_warps=1,
    )  # fmt: skip
    return (-(-length // run), blocks, batch), sizes


@forward.register_fake
def _(x, weight, bias, silu):
    return x.new_empty(x.shape)


@backward.register_fake
def _(grad, x, weight, bias, silu):
    return (
        x.new_empty(x.shape),
        weight.new_empty(weight.shape),
        (weight if bias is None else bias).new_empty(x.shape[2]),
    )


def _keep(ctx, inputs, output):
    x, weight, bias, ctx.silu = inputs
    ctx.save_for_backward(x, weight, bias)


def _gradients(ctx, grad):
    x, weight, bias = ctx.saved_tensors
    dx, dweight, dbias = backward(grad, x, weight, bias, ctx.silu)
    return dx, dweight, None if bias is None else dbias, None


forward.register_autograd(_gradients, setup_context=_keep)
