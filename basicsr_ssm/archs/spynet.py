"""SpyNet (Ranjan & Black, 2017), the flow network of both systems: BasicSR's weights, without its stops on a GPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from basicsr.archs import spynet_arch
from torch import nn

from basicsr_ssm.ops import conv2d, flow_warp


class SpyNet(spynet_arch.SpyNet):
    """BasicSR's SpyNet, parameter for parameter and bit for bit.

    BasicSR makes the coordinates of every warp on the CPU and copies them over, a dozen waits for each call; no CUDA
    graph can be captured of that either.
    """

    def process(self, ref: torch.Tensor, supp: torch.Tensor) -> torch.Tensor:
        """Flow from ref to supp, (n, 3, h, w) each in [0, 1], sides multiples of 32 → (n, 2, h, w), pixels."""
        pyramid = [tuple(self.preprocess(v) for v in (ref, supp))]
        for _ in range(len(self.basic_module) - 1):
            pyramid.append(tuple(F.avg_pool2d(v, 2, 2, count_include_pad=False) for v in pyramid[-1]))
        flow = ref.new_zeros(ref.shape[0], 2, *(side // 2 for side in pyramid[-1][0].shape[2:]))
        for level, (a, b) in zip(self.basic_module, reversed(pyramid), strict=True):
            flow = F.interpolate(flow, scale_factor=2, mode='bilinear', align_corners=True) * 2.0
            below, right = (a.shape[i] - flow.shape[i] for i in (2, 3))
            if below or right:
                flow = F.pad(flow, (0, right, 0, below), mode='replicate')
            flow = _refine(level, [a, flow_warp(b, flow, 'border'), flow], flow)
        return flow


def _refine(level: spynet_arch.BasicModule, inputs: list[torch.Tensor], flow: torch.Tensor) -> torch.Tensor:
    """What `level` makes of the inputs, one after the other over the channels, + flow."""
    *convs, last = level.basic_module[::2]  # ReLUs between them
    x = inputs
    for conv in convs:
        x = conv2d(x, conv.weight, conv.bias, 'relu')
    return conv2d(x, last.weight, last.bias, residual=flow)


def start_without_motion(spynet: SpyNet) -> None:
    """Makes an untrained SpyNet give zero flow, where its random start would give noise of several pixels.

    The last convolution of each level is set to zero; it learns from there.
    """
    for level in spynet.basic_module:
        last = level.basic_module[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
