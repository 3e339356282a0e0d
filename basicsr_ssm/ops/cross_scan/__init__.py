"""The windowed cross scan of Deformable Cross-Mamba Alignment, with the sampling of its reference points."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.cross_scan import triton
from basicsr_ssm.ops.cross_scan.reference import reference, sample_points
from basicsr_ssm.ops.dispatch import Backend, Operator

__all__ = ['sample_points', 'window_cross_scan']


def window_cross_scan(
    frame: torch.Tensor,
    positions: torch.Tensor,
    encoding: torch.Tensor,
    C: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
    backend: str | None = None,
) -> torch.Tensor:
    """The last output of a selective scan over k points of a reference frame, for every pixel of a target frame.

    Each pixel samples [u | δ | B] at its k positions, bilinearly, and adds the encoding of the point. With
    Δ = softplus(δ), the recurrence of VSRM, Eq. 11, over the points in their given order is

        h_j = exp(Δ_j A) h_{j−1} + Δ_j B_j u_j,    y = C h_k + D u_k,

    with C from the target pixel. Only the last output is wanted, so it is one weighted sum over the points.

    Args:
        frame: (n, H, W, 2d + s), linear projections of the reference frame: u (d), δ (d), B (s).
        positions: (n, h, w, k, 2), (x, y) in pixels of the frame; what lies outside reads the nearest edge.
        encoding: (k, 2d + s), the same projections of each point's positional encoding, biases included.
        C: (n, h, w, s).
        A: (d, s), negative.
        D: (d,).
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (n, h, w, d) in the dtype of the frame; computed in float32 or better.

    Raises:
        ValueError: shapes do not fit.
    """
    d, s = A.shape
    n, h, w, k = positions.shape[:4]
    for name, tensor, shape in (
        ('frame', frame, (n, *frame.shape[1:3], 2 * d + s)),
        ('positions', positions, (n, h, w, k, 2)),
        ('encoding', encoding, (k, 2 * d + s)),
        ('C', C, (n, h, w, s)),
        ('D', D, (d,)),
    ):
        if tensor.shape != shape:
            raise ValueError(f'window_cross_scan: {name} {(*tensor.shape,)} should be {shape}')
    return _OPERATOR(backend, frame, positions, encoding, C, A, D)


def _triton(*tensors):
    from basicsr_ssm.ops.cross_scan.torch_op import window_cross_scan

    return window_cross_scan(*tensors)


_OPERATOR = Operator('window_cross_scan', Backend('triton', _triton, triton.why_not), Backend('reference', reference))
