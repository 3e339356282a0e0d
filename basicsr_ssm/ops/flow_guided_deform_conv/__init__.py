"""Modulated deformable convolution whose offsets are the flow plus a bounded residue."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.dispatch import Backend, Operator
from basicsr_ssm.ops.flow_guided_deform_conv import triton
from basicsr_ssm.ops.flow_guided_deform_conv.reference import reference


def flow_guided_deform_conv(
    feature: torch.Tensor,
    raw: torch.Tensor,
    flow: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    max_residue: float,
    backend: str | None = None,
) -> torch.Tensor:
    """Deformable alignment from what a convolution predicts, as MedVSR does it.

    With r and s the first two thirds and the last third of raw, per deformable group and tap k:
    offset_k = max_residue · tanh(r_k) + flow,  mask_k = sigmoid(s_k),
    y(p) = bias + Σ_k weight_k · mask_k(p) · x(p + p_k + offset_k(p)), stride 1, bilinear, zeros outside,
    with x the feature, m times in a row (Chan et al., "BasicVSR++", 2022, Eq. 4–6; `deform_conv2d`).

    Args:
        feature: (n, C, h, w).
        raw: (n, 3·g·k·k, h, w), g deformable groups of x; per group, per tap: (dy, dx); then per group, per tap: mask.
        flow: (n, 2, h, w), (dx, dy) in pixels.
        weight: (C', m·C, k, k), k odd.
        bias: (C',) or None.
        max_residue: pixels.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (n, C', h, w) in the dtype of the feature. Positions are float32 or better. The Triton backend lays it out in
        memory as the feature, multiplies matrices in the feature's dtype, float32 in TF32 where
        torch.backends.cuda.matmul.allow_tf32 is on; it is differentiable once, and the same each time where
        deterministic algorithms are asked for.

    Raises:
        ValueError: shapes do not fit.
    """
    n, channels, height, width = feature.shape
    side = weight.shape[2]
    groups = raw.shape[1] // (3 * side * side)
    if weight.dim() != 4 or side % 2 == 0 or weight.shape[3] != side or weight.shape[1] % channels or not groups:
        raise ValueError(
            f"flow_guided_deform_conv: weight (C', m·{channels}, k, k), k odd, and raw (n, 3·g·k·k, h, w) expected; "
            f'got {(*weight.shape,)} and {(*raw.shape,)}'
        )
    if weight.shape[1] % groups:
        raise ValueError(f'flow_guided_deform_conv: {weight.shape[1]} channels in {groups} groups')
    for name, tensor, shape in (
        ('raw', raw, (n, 3 * groups * side * side, height, width)),
        ('flow', flow, (n, 2, height, width)),
        ('bias', bias, weight.shape[:1]),
    ):
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f'flow_guided_deform_conv: {name} {(*shape,)} expected, got {(*tensor.shape,)}')
    return _OPERATOR(backend, feature, raw, flow, weight, bias, max_residue)


_OPERATOR = Operator(
    'flow_guided_deform_conv',
    Backend('triton', triton.call, triton.why_not),
    Backend('reference', reference),
)
