"""The depthwise convolution in Triton: one launch forward; backward one for x, one for the filter and a sum.

Fused operators of PyTorch, so that torch.compile sees through them. Channels lie side by side, in and out; any other
strides are taken as they are. Sums are in float32, parameters are read as they are, and no sum depends on the order in
which programs run.
"""

from __future__ import annotations

import torch

from basicsr_ssm.ops import triton_support
from basicsr_ssm.ops.autocast import autocast_dtype

_LONGEST, _MOST_TAPS = 11, 121  # what the registers hold, and the compiler takes seconds for


def why_not(*args) -> str | None:
    reason = triton_support.why_not(*args)
    if reason is not None or not args:
        return reason
    x, weight = args[:2]
    size = weight.shape[2:]
    if max(size) > _LONGEST or size.numel() > _MOST_TAPS:
        return f'{"×".join(map(str, size))} taps; {_LONGEST} a side and {_MOST_TAPS} at most'
    if x.numel() == 0:
        return 'an empty tensor'
    if x.shape[0] > 65535:
        return f'{x.shape[0]} clips or images, 65535 at most'
    return None


def conv3d(x, weight, bias):
    # registered where it is first used: older releases of PyTorch, which come with an older Triton, cannot
    from basicsr_ssm.ops.depthwise_conv.torch_op import convolve

    if x.dtype == torch.float32:
        x = x.to(autocast_dtype(x.device.type) or x.dtype)  # as autocast does for every convolution
    return convolve(x, weight, bias, False)


def conv2d(x, weight, bias):
    return conv3d(x.unsqueeze(1), weight.unsqueeze(2), bias).squeeze(1)
