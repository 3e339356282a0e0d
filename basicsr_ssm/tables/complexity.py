"""Parameters and multiply-adds of VSRM, by the convention of its paper."""

from __future__ import annotations

import torch
from torch import nn

from basicsr_ssm.archs import VSRM
from basicsr_ssm.archs.upsampling import upsample
from basicsr_ssm.archs.vsrm_arch import BRANCHES
from basicsr_ssm.tables.counting import MultiplyAdds, count


def count_parameters(net: nn.Module) -> int:
    """All of them, learned or frozen."""
    return sum(p.numel() for p in net.parameters())


@torch.no_grad()
def recurrent_step(net: VSRM, size: int = 64) -> MultiplyAdds:
    """What one frame costs in the midst of a clip, by the convention of VSRM's FLOPs column.

    That is one frame of size × size LR pixels: the first convolution, the flow to both neighbours, in each of the four
    branches two alignments and the blocks on three frames, and the up-sampling. By it IART's code has the figure that
    the paper gives for IART. What counts: see MultiplyAdds.
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
    return sum((times * count(part) for times, part in parts), MultiplyAdds())
