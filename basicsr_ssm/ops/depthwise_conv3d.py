"""3×3×3 depthwise convolution of the frames of a clip."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops.dispatch import Backend, Operator


def depthwise_conv3d(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, backend: str | None = None
) -> torch.Tensor:
    """Each channel convolved with its own filter over time and space, zeros outside.

    The DW-3D Conv of VSRM's TGFN (Eq. 6).

    Args:
        x: (n, t, h, w, c).
        weight: (c, 1, 3, 3, 3), taps in time, rows, columns.
        bias: (c,) or None.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (n, t, h, w, c).

    Raises:
        ValueError: shapes do not fit.
    """
    if x.dim() != 5 or weight.shape != (x.shape[-1], 1, 3, 3, 3):
        raise ValueError(
            f'depthwise_conv3d: x (n, t, h, w, c) and weight (c, 1, 3, 3, 3) expected, '
            f'got {(*x.shape,)} and {(*weight.shape,)}'
        )
    return _OPERATOR(backend, x, weight, bias)


def _reference(x, weight, bias):
    out = F.conv3d(x.permute(0, 4, 1, 2, 3), weight, bias, padding=1, groups=x.shape[-1])
    return out.permute(0, 2, 3, 4, 1)


def _conv2d(x, weight, bias):
    """One 2D convolution with three outputs a channel, one for each frame that a frame reaches, then added up."""
    n, t, h, w, channels = x.shape
    taps = weight.squeeze(1).flatten(0, 1).unsqueeze(1)  # (3c, 1, 3, 3), the tap in time last
    parts = F.conv2d(x.flatten(0, 1).permute(0, 3, 1, 2), taps, padding=1, groups=channels)
    parts = F.pad(parts.permute(0, 2, 3, 1).reshape(n, t, h, w, channels, 3), (0,) * 8 + (1, 1))
    out = parts[:, :t, ..., 0] + parts[:, 1 : t + 1, ..., 1] + parts[:, 2:, ..., 2]
    return out if bias is None else out + bias.to(out.dtype)


def _why_not_conv2d(x=None, *args, **kwargs) -> str | None:
    # PyTorch's 3D convolution starts a kernel for every channel on a GPU; on a CPU it is the faster one
    on_gpu = torch.cuda.is_available() if x is None else x.is_cuda
    return None if on_gpu else 'slower than 3D convolution on a CPU'


_OPERATOR = Operator('depthwise_conv3d', Backend('conv2d', _conv2d, _why_not_conv2d), Backend('reference', _reference))
