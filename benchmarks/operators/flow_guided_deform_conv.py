"""flow_guided_deform_conv beside the same out of PyTorch and torchvision's deform_conv2d, as MedVSR aligns a frame.

64 channels sampled twice, 16 deformable groups, 3 × 3; flow and parameters in float32 as under autocast. The vendor
computes in float32 whatever comes. Products: float32 takes three of TF32 numbers where PyTorch is not to use one.
"""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F

from basicsr_ssm.ops import flow_guided_deform_conv
from basicsr_ssm.ops.dispatch import VARIABLE, operators
from operators.measure import Case, Form

SIZES = ((512, 512), (144, 180))
CHANNELS, GROUPS, TAPS, MAX_RESIDUE = 64, 16, 9, 10.0


def cases(short: bool):
    for h, w in SIZES[:1] if short else SIZES:
        for dtype in (torch.float32, torch.bfloat16):
            tensors = inputs(h, w, dtype)
            exact = dtype == torch.float32 and not torch.backends.cuda.matmul.allow_tf32
            products = 2 * h * w * CHANNELS * 2 * CHANNELS * TAPS * (3 if exact else 1)
            yield Case(
                f'{h} × {w} × {CHANNELS}', dtype, Form(ours, tensors), composed(tensors, 'reference'),
                composed(tensors, 'torchvision'), {'products': products},
            )  # fmt: skip


def ours(*tensors):
    return flow_guided_deform_conv(*tensors, MAX_RESIDUE)


def composed(tensors, convolution):
    (operator,) = (v for v in operators() if v.name == 'deform_conv2d')
    if operator.backends[convolution].why_not() is not None:
        return None

    def call(*tensors):
        os.environ[VARIABLE] = f'deform_conv2d={convolution}'
        try:
            return flow_guided_deform_conv(*tensors, MAX_RESIDUE, backend='reference')
        finally:
            del os.environ[VARIABLE]

    return Form(call, tensors)


def inputs(h, w, dtype):
    """A smooth flow, and residues that differ from pixel to pixel by little, as a convolution predicts them."""
    g = torch.Generator('cuda').manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=g, device='cuda')

    def smooth(channels, step):
        return F.interpolate(normal(1, channels, h // step + 1, w // step + 1), size=(h, w), mode='bilinear')

    return [
        normal(1, CHANNELS, h, w).to(dtype),
        (0.1 * smooth(3 * GROUPS * TAPS, 4)).to(dtype),
        4 * smooth(2, 8),
        normal(CHANNELS, 2 * CHANNELS, 3, 3) / (2 * CHANNELS * TAPS) ** 0.5,
        normal(CHANNELS),
    ]
