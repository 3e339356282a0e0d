"""The causal convolution by the package causal-conv1d, to compare with."""

from __future__ import annotations

import torch

from basicsr_ssm.ops import vendor_package

_TAPS = (2, 3, 4)


def why_not(x=None, weight=None, bias=None, activation=None) -> str | None:
    if (reason := vendor_package.why_not('causal-conv1d', 'causal_conv1d')) is not None:
        return reason
    if x is None:
        return None if torch.cuda.is_available() else 'no CUDA device'
    if not x.is_cuda:
        return f'a tensor is on {x.device}, CUDA needed'
    if x.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f'{x.dtype}: float32, bfloat16 and float16 only'
    if weight.shape[1] not in _TAPS:
        return f'{weight.shape[1]} taps: 2, 3 and 4 only'
    return None


def call(x, weight, bias, activation):
    from causal_conv1d import causal_conv1d_fn

    if x.stride(2) == 1 and (x.shape[2] % 8 or x.stride(0) % 8 or x.stride(1) % 8):
        x = x.mT.contiguous().mT  # tokens side by side, which it takes at any width
    bias = None if bias is None else bias.to(weight.dtype)
    return causal_conv1d_fn(x.mT, weight.contiguous(), bias, activation=activation).mT
