"""Depthwise convolutions beside PyTorch's, that is cuDNN's: the vendor has the channels last, the reference first.

7 × 7 on the features of MedVSR, 3 × 3 × 3 on those of VSRM; activations in the dtype, parameters of ours in float32 as
under autocast. Of clips the vendor is the 2D convolution with an output a channel for each frame that a frame reaches;
a 3D convolution with the channels last takes seconds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops import depthwise_conv2d, depthwise_conv3d
from operators.measure import Case, Form

IMAGES = ((1, 512, 512, 64), (1, 144, 180, 64))
CLIPS = ((1, 3, 180, 320, 120), (2, 3, 64, 64, 120))


def cases(short: bool):
    for shapes, size, make in ((IMAGES, (7, 7), images), (CLIPS, (3, 3, 3), clips)):
        for shape in shapes[:1] if short else shapes:
            for dtype in (torch.float32, torch.bfloat16):
                g = torch.Generator('cuda').manual_seed(0)
                c, taps = shape[-1], torch.Size(size).numel()
                x, *parameters = (
                    torch.randn(s, generator=g, device='cuda') for s in (shape, (c, 1, *size), (c,))
                )  # fmt: skip
                x = x.to(dtype)
                ours, vendor, first = make(x, parameters, [v.to(dtype) for v in parameters])
                name = f'{" × ".join(map(str, shape))}, {"×".join(map(str, size))}'
                yield Case(name, dtype, ours, first, vendor, {'multiply-adds': x.numel() * taps})


def images(x, parameters, cast):
    planes = x.permute(0, 3, 1, 2)

    def conv(x, weight, bias):
        return F.conv2d(x, weight, bias, padding=3, groups=weight.shape[0])

    return (
        Form(depthwise_conv2d, [x, *parameters]),
        Form(conv, [planes, *cast]),
        Form(conv, [planes.contiguous(), *cast]),
    )


def clips(x, parameters, cast):
    def conv(x, weight, bias):
        return F.conv3d(x, weight, bias, padding=1, groups=weight.shape[0])

    def by_frames(*v):
        return depthwise_conv3d(*v, backend='conv2d')

    planes = x.permute(0, 4, 1, 2, 3).contiguous()
    return Form(depthwise_conv3d, [x, *parameters]), Form(by_frames, [x, *cast]), Form(conv, [planes, *cast])
