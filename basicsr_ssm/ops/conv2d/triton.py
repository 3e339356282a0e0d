"""The convolution in Triton: one launch, whatever the number of inputs; forward only.

Matrices are multiplied in the dtype of the call, float32 as TF32 where PyTorch's convolutions may do so too; sums,
bias, activation and residual are in float32, rounded once. Weights are read in the channels-last layout: one that has
another layout or dtype is copied in each call, so that no change of it is missed.
"""

from __future__ import annotations

import torch

from basicsr_ssm.ops import triton_support
from basicsr_ssm.ops.autocast import autocast_dtype
from basicsr_ssm.ops.conv2d.launch import FEWEST, MOST_TOGETHER
from basicsr_ssm.ops.product_dtype import product_dtype

_SIDES = 1, 3, 5, 7


def why_not(inputs=None, weight=None, bias=None, activation=None, slope=0.1, residual=None, shuffle=1) -> str | None:
    if inputs is None:
        return triton_support.why_not()
    tensors = [v for v in (*inputs, weight, bias, residual) if v is not None]
    reason = triton_support.why_not(*tensors) or triton_support.why_not_recorded(*tensors)
    if reason is not None:
        return reason
    side, dtype = weight.shape[2], product_dtype(inputs)
    if side not in _SIDES:
        return f'{side}×{side} taps; {", ".join(map(str, _SIDES))} a side only'
    few = [v.shape[1] for v in inputs if v.shape[1] < FEWEST]
    if few and side * max(few) > MOST_TOGETHER:  # a line of taps in one step, at least
        return f'{side}×{side} taps of an input of {max(few)} channels; {MOST_TOGETHER} numbers a step at most'
    if any(v.numel() == 0 for v in tensors):
        return 'an empty tensor'
    if dtype == torch.float32 and not torch.backends.cudnn.allow_tf32:
        return 'float32 without TF32 (torch.backends.cudnn.allow_tf32)'
    if weight.dtype != dtype and autocast_dtype(weight.device.type) is None:
        return f'inputs in {dtype} and a weight in {weight.dtype}, without autocast'
    return None


def call(inputs, weight, bias, activation, slope, residual, shuffle):
    # registered where it is first used: older releases of PyTorch, which come with an older Triton, cannot
    from basicsr_ssm.ops.conv2d.torch_op import convolve

    dtype, last = product_dtype(inputs), torch.channels_last
    if weight.dtype != dtype or not weight.is_contiguous(memory_format=last):
        weight = weight.to(dtype, memory_format=last)
    slope = {None: 1.0, 'relu': 0.0, 'leaky_relu': slope}[activation]
    return convolve(list(inputs), weight, bias, slope, residual, shuffle)
