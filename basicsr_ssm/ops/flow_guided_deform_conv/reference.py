"""The flow-guided deformable convolution out of the operator it is made of."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.deform_conv import deform_conv2d


def reference(feature, raw, flow, weight, bias, max_residue):
    residue, mask = raw.split([2 * raw.shape[1] // 3, raw.shape[1] // 3], dim=1)
    # positions in float32 or better under autocast too; (y, x) is the order of the convolution's offsets
    residue = max_residue * torch.tanh(residue.to(flow.dtype))
    offset = residue + flow.flip(1).repeat(1, residue.shape[1] // 2, 1, 1)
    copies = weight.shape[1] // feature.shape[1]
    feature = torch.cat([feature] * copies, dim=1)
    return deform_conv2d(feature, offset, mask.sigmoid(), weight, bias, padding=weight.shape[2] // 2)
