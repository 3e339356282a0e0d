"""Operators under torchvision's signatures, for networks that call torchvision where its kernels do not load."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.deform_conv import deform_conv2d


def deform_conv2d_as_torchvision(input, offset, weight, bias=None, stride=1, padding=0, dilation=1, mask=None):
    """torchvision.ops.deform_conv2d, with one group of the weight; shapes are those of `deform_conv2d`.

    Raises:
        ValueError: stride or dilation other than 1, or different padding of rows and columns; shapes do not fit.
    """
    (stride, across), (padding, beside), (dilation, along) = (_pair(v) for v in (stride, padding, dilation))
    if (stride, across, dilation, along) != (1, 1, 1, 1) or padding != beside:
        raise ValueError(
            'deform_conv2d without torchvision: stride 1, dilation 1 and the same padding on all sides only'
        )
    if mask is None:
        mask = torch.ones_like(offset[:, ::2])
    return deform_conv2d(input, offset, mask, weight, bias, padding)


def _pair(value) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
