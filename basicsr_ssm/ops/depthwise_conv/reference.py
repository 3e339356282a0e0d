"""The depthwise convolution by PyTorch's own convolutions. Parameters are taken in the dtype of x."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def conv3d(x, weight, bias):
    weight, bias = _like(x, weight, bias)
    out = F.conv3d(x.permute(0, 4, 1, 2, 3), weight, bias, padding=_half(weight), groups=x.shape[-1])
    return out.permute(0, 2, 3, 4, 1)


def conv2d(x, weight, bias):
    weight, bias = _like(x, weight, bias)
    return F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=_half(weight), groups=x.shape[-1]).permute(0, 2, 3, 1)


def conv3d_by_frames(x, weight, bias):
    """One 2D convolution with an output a channel for each frame that a frame reaches, then added up."""
    n, t, h, w, channels = x.shape
    weight, bias = _like(x, weight, bias)
    reach = weight.shape[2]
    taps = weight.squeeze(1).flatten(0, 1).unsqueeze(1)  # (kt·c, 1, kh, kw), the tap in time last
    parts = F.conv2d(x.flatten(0, 1).permute(0, 3, 1, 2), taps, padding=_half(taps), groups=channels)
    parts = parts.permute(0, 2, 3, 1).reshape(n, t, h, w, channels, reach)
    parts = F.pad(parts, (0,) * 8 + (reach // 2, reach // 2))
    out = parts[:, :t, ..., 0]
    for tap in range(1, reach):
        out = out + parts[:, tap : tap + t, ..., tap]
    return out if bias is None else out + bias.to(out.dtype)


def why_not_by_frames(x=None, *args, **kwargs) -> str | None:
    # PyTorch's 3D convolution starts a kernel for every channel on a GPU; on a CPU it is the faster one
    on_gpu = torch.cuda.is_available() if x is None else x.is_cuda
    return None if on_gpu else 'slower than 3D convolution on a CPU'


def _like(x, weight, bias):
    return weight.to(x.dtype), None if bias is None else bias.to(x.dtype)


def _half(weight):
    return tuple(k // 2 for k in weight.shape[2:])
