"""LayerNorm in Triton: a program takes several rows at once, where PyTorch's takes one, which few channels leave idle.

Backward computes the statistics anew; the sums over the rows go in a fixed order.
"""

from __future__ import annotations

import torch

from basicsr_ssm.ops import triton_support

_MOST_CHANNELS = 1024
_TILE = 2048  # numbers of a program at a time
_PROGRAMS = 4  # of the backward pass on a multiprocessor


def why_not(*args) -> str | None:
    reason = triton_support.why_not(*args)
    if reason is not None or not args:
        return reason
    x = args[0]
    if x.shape[-1] > _MOST_CHANNELS:
        return f'{x.shape[-1]} channels, {_MOST_CHANNELS} at most'
    return 'an empty tensor' if x.numel() == 0 else None


def forward(x, weight, bias, eps):
    from basicsr_ssm.ops.layer_norm.triton_kernels import forward as kernel

    rows, sizes = _rows(x)
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    with triton_support.on_device_of(x):
        kernel[(-(-rows.shape[0] // sizes['ROWS']),)](
            rows, weight.contiguous(), bias.contiguous(), y, rows.shape[0], rows.stride(0), eps, **sizes
        )
    return y


def backward(dy, x, weight, eps):
    """Gradients of x, in its dtype, of weight and bias, in float32."""
    from basicsr_ssm.ops.layer_norm.triton_kernels import backward as kernel

    rows, sizes = _rows(x)
    slopes, _ = _rows(dy)
    dx = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    tiles = -(-rows.shape[0] // sizes['ROWS'])
    programs = min(tiles, _PROGRAMS * triton_support.multiprocessors(x.device))
    shares = torch.empty(2, programs, x.shape[-1], dtype=torch.float32, device=x.device)
    with triton_support.on_device_of(x):
        kernel[(programs,)](
            slopes, rows, weight.contiguous(), dx, shares, rows.shape[0], slopes.stride(0), rows.stride(0), eps,
            -(-tiles // programs), **sizes,
        )  # fmt: skip
    dweight, dbias = shares.sum(1)
    return dx, dweight, dbias


def _rows(x):
    """x as rows of channels that lie side by side, without a copy where it can be; and how kernels are cut."""
    channels = x.shape[-1]
    block = 1 << (channels - 1).bit_length()
    rows = x.reshape(-1, channels)
    rows = rows if rows.stride(1) == 1 or channels == 1 else rows.contiguous()
    return rows, dict(CHANNELS=channels, BLOCK=block, ROWS=max(1, _TILE // block), num_warps=4)
