"""The convolution by PyTorch's operators, one after the other."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops.autocast import autocast_dtype
from basicsr_ssm.ops.layout import has_channels_together


def reference(inputs, weight, bias, activation, slope, residual, shuffle):
    x = inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1)
    out = _convolved(x, weight, bias)
    if activation == 'relu':
        out = F.relu(out, inplace=True)
    elif activation == 'leaky_relu':
        out = F.leaky_relu(out, slope, inplace=True)
    out = pixel_shuffle(out, shuffle)
    return out if residual is None else residual + out


def _convolved(x, weight, bias):
    padding = weight.shape[2] // 2
    dtype = x.dtype if x.dtype == torch.float64 else autocast_dtype('cpu') or x.dtype
    if x.device.type != 'cpu' or dtype not in (torch.bfloat16, torch.float16):
        return F.conv2d(x, weight, bias, padding=padding)
    # On processors without AVX-512 PyTorch's are up to 25 times as slow as float32's, in which they add up anyway.
    with torch.autocast('cpu', enabled=False):
        x, weight, bias = (None if v is None else v.to(dtype).float() for v in (x, weight, bias))
        return F.conv2d(x, weight, bias, padding=padding).to(dtype)


def pixel_shuffle(x, step):
    """F.pixel_shuffle; if x has its channels together in memory, so has the result."""
    if step == 1:
        return x
    n, channels, height, width = x.shape
    if not has_channels_together(x):
        return F.pixel_shuffle(x, step)
    x = x.permute(0, 2, 3, 1).view(n, height, width, channels // step**2, step, step).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(n, height * step, width * step, -1).permute(0, 3, 1, 2)
