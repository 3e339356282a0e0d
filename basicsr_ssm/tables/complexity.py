"""Parameters and multiply-adds of VSRM."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from basicsr_ssm.archs import VSRM
from basicsr_ssm.archs.cross_mamba_alignment import DeformableCrossMambaAlignment
from basicsr_ssm.archs.mamba import VideoMamba
from basicsr_ssm.archs.upsampling import upsample
from basicsr_ssm.archs.vsrm_arch import BRANCHES

# Multiplications of a scan for each token, channel and state: Δ·A, Δu·B, the decay of the state, C·h.
SCAN_PRODUCTS = 4


@dataclass(frozen=True)
class MultiplyAdds:
    """products: of convolutions, linear maps and attention; scans: of the selective scans."""

    products: int
    scans: int

    def __add__(self, other: MultiplyAdds) -> MultiplyAdds:
        return MultiplyAdds(self.products + other.products, self.scans + other.scans)

    def __rmul__(self, times: int) -> MultiplyAdds:
        return MultiplyAdds(times * self.products, times * self.scans)


def count_parameters(net: nn.Module) -> int:
    """All of them, learned or frozen."""
    return sum(p.numel() for p in net.parameters())


@torch.no_grad()
def recurrent_step(net: VSRM, size: int = 64) -> MultiplyAdds:
    """What one frame costs in the midst of a clip, by the convention of VSRM's FLOPs column.

    That is one frame of size × size LR pixels: the first convolution, the flow to both neighbours, in each of the four
    branches two alignments and the blocks on three frames, and the up-sampling. By it IART's code has the figure that
    the paper gives for IART. Normalisation, activation, gates and bilinear sampling do not count.
    """
    lq = torch.zeros(1, 3, size, size)
    feature = torch.zeros(1, net.embed_dim, size, size)
    flow = torch.zeros(1, 2, size, size)
    encoded = net.align.encode(feature)
    branches = len(BRANCHES)
    parts = [
        (1, lambda: net.conv_first(lq)),
        (2, lambda: net.spynet(lq, lq)),
        (branches, lambda: net.align.encode(feature)),
        (2 * branches, lambda: net.align(feature, encoded, flow)),
        (branches, lambda: net.backbone[BRANCHES[0]](feature, feature, feature)),
        (1, lambda: upsample(net, net.conv_before_upsample(feature), lq, net.scale)),
    ]
    return sum((times * _counted(net, part) for times, part in parts), MultiplyAdds(0, 0))


def _counted(net: VSRM, function: Callable) -> MultiplyAdds:
    scans = []
    hooks = [module.register_forward_hook(_count_scan(scans)) for module in net.modules()]
    # torch knows the attention of GPUs only
    attention = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    with FlopCounterMode(display=False, custom_mapping=attention) as counter:
        function()
    for hook in hooks:
        hook.remove()
    counts = counter.get_flop_counts().get('Global', {})  # a part may have none
    # batched products are the scans' own, which are counted by their recurrence instead
    products = sum(flops for operation, flops in counts.items() if operation != torch.ops.aten.bmm)
    return MultiplyAdds(products // 2, sum(scans))


def _count_scan(scans: list[int]) -> Callable:
    def hook(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        if isinstance(module, VideoMamba):
            tokens = math.prod(output.shape[:-1])
            scans.append(SCAN_PRODUCTS * tokens * module.A_log.numel())  # A has a set for each direction
        elif isinstance(module, DeformableCrossMambaAlignment):
            pixels = output.numel() // output.shape[1]
            scans.append(SCAN_PRODUCTS * pixels * len(module.points) * module.A_log.numel())

    return hook


def _attention_flops(query, key, value, *args, out_shape=None, **kwargs) -> int:
    batch, heads, length, channels = query
    return 2 * batch * heads * length * key[2] * (channels + value[3])
