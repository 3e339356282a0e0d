"""Backward warping of images and features along a flow."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops.dispatch import Backend, Operator
from basicsr_ssm.ops.flow_warp import triton
from basicsr_ssm.ops.layout import layout_of


def flow_warp(x: torch.Tensor, flow: torch.Tensor, padding: str = 'zeros', backend: str | None = None) -> torch.Tensor:
    """y[:, :, i, j] = x at (i + dy, j + dx), bilinear; what BasicSR's flow_warp computes (align_corners=True).

    Args:
        x: (n, c, h, w) image or feature.
        flow: (n, 2, h, w), (dx, dy) in pixels.
        padding: what lies outside x, 'zeros' or 'border'.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (n, c, h, w) in the dtype of x, and laid out in memory as x if its channels lie together. Positions and weights
        are float32 or better, whatever the dtype of x; along a side of one pixel nothing moves. Triton adds the
        gradients of x up in no fixed order, as PyTorch's grid_sample does.

    Raises:
        ValueError: sizes differ or the padding is unknown.
    """
    if padding not in ('zeros', 'border'):
        raise ValueError(f"flow_warp: padding {padding!r} is not 'zeros' or 'border'")
    if flow.shape != (x.shape[0], 2, *x.shape[2:]):
        raise ValueError(f'flow_warp: x {(*x.shape,)} wants a flow (n, 2, h, w), got {(*flow.shape,)}')
    return _OPERATOR(backend, x, flow, padding)


def _triton(x, flow, padding):
    from basicsr_ssm.ops.flow_warp.torch_op import flow_warp

    return flow_warp(x, flow, padding == 'border')


def _reference(x, flow, padding):
    height, width = x.shape[2:]
    # in bfloat16 a position past 256 is off by a pixel
    dtype = torch.promote_types(torch.promote_types(x.dtype, flow.dtype), torch.float32)
    rows = torch.arange(height, device=x.device, dtype=dtype).view(1, height, 1)
    columns = torch.arange(width, device=x.device, dtype=dtype).view(1, 1, width)
    u = 2 * (columns + flow[:, 0].to(dtype)) / max(width - 1, 1) - 1
    v = 2 * (rows + flow[:, 1].to(dtype)) / max(height - 1, 1) - 1
    warped = F.grid_sample(
        x.to(dtype), torch.stack((u, v), dim=3), mode='bilinear', padding_mode=padding, align_corners=True
    )
    return warped.to(x.dtype).contiguous(memory_format=layout_of(x))


_OPERATOR = Operator('flow_warp', Backend('triton', _triton, triton.why_not), Backend('reference', _reference))
