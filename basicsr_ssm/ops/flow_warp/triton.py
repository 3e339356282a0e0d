"""Warping in Triton: one launch, where coordinates, grid and sampling are a dozen small ones in PyTorch.

A program takes a row of pixels of one image; its threads lie along the channels of a pixel, or along the row where the
channels are far apart.
"""

from __future__ import annotations

import torch

from basicsr_ssm.ops import triton_support
from basicsr_ssm.ops.layout import layout_of

_TILE = 2048  # numbers of a program at a time
_MOST_CHANNELS = 64
_MOST_IMAGES = 65535  # of a launch's third dimension


def why_not(*args) -> str | None:
    reason = triton_support.why_not(*args)
    if reason is not None or not args:
        return reason
    x, flow = args[:2]
    if x.numel() == 0:
        return 'an empty tensor'
    if x.shape[0] > _MOST_IMAGES or x.shape[2] * x.shape[3] >= 2**31:
        return f'more than {_MOST_IMAGES} images, or 2^31 pixels'
    differentiable = torch.is_grad_enabled() and (x.requires_grad or flow.requires_grad)
    if differentiable and torch.are_deterministic_algorithms_enabled():
        return 'its gradients of x are summed in no fixed order'
    return None


def forward(x, flow, border):
    from basicsr_ssm.ops.flow_warp.triton_kernels import forward as kernel

    y = torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=layout_of(x))
    with triton_support.on_device_of(x):
        kernel[_grid(x)](x, flow, y, *x.shape[1:], *x.stride(), *flow.stride(), *y.stride(), border, **_sizes(x))
    return y


def backward(dy, x, flow, border, wants_x, wants_flow):
    """Gradients of x and flow, float32, each empty unless it is wanted."""
    from basicsr_ssm.ops.flow_warp.triton_kernels import backward as kernel

    dx, dflow = (torch.empty(0, dtype=torch.float32, device=x.device) for _ in range(2))
    if wants_x:
        dx = torch.empty(x.shape, dtype=torch.float32, device=x.device, memory_format=layout_of(x)).zero_()
    if wants_flow:
        dflow = torch.empty(flow.shape, dtype=torch.float32, device=x.device)
    slots = [v.stride() if wanted else (0, 0, 0, 0) for v, wanted in ((dx, wants_x), (dflow, wants_flow))]
    with triton_support.on_device_of(x):
        kernel[_grid(x)](
            dy, x, flow, dx, dflow, *x.shape[1:], *dy.stride(), *x.stride(), *flow.stride(), *slots[0], *slots[1],
            border, wants_x, wants_flow, **_sizes(x),
        )  # fmt: skip
    return dx, dflow


def _sizes(x):
    block = min(_MOST_CHANNELS, 1 << (x.shape[1] - 1).bit_length())
    return dict(BLOCK=block, BLOCKS=-(-x.shape[1] // block), PIXELS=_TILE // max(block, 8), num_warps=4)


def _grid(x):
    return -(-x.shape[3] // _sizes(x)['PIXELS']), x.shape[2], x.shape[0]
