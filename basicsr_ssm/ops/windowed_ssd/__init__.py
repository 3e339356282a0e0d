"""The windowed SSD of MedVSR's mixers: everything between their input and their output projections."""

from __future__ import annotations

import math

import torch

from basicsr_ssm.ops.dispatch import Backend, Operator
from basicsr_ssm.ops.windowed_ssd import reference, triton
from basicsr_ssm.ops.windowed_ssd.reference import SIZE


def cross_window_ssd(
    projected: torch.Tensor,
    readout: torch.Tensor,
    conv_weight: torch.Tensor,
    conv_bias: torch.Tensor,
    readout_weight: torch.Tensor,
    readout_bias: torch.Tensor,
    pe: torch.Tensor,
    dt_bias: torch.Tensor,
    A_log: torch.Tensor,
    D: torch.Tensor,
    norm_weight: torch.Tensor,
    eps: float = 1e-5,
    backend: str | None = None,
) -> torch.Tensor:
    """The scan of one frame's window read out by another's: convolutions, SSD, gate and norm (MedVSR, Sec. 3.3).

    With conv the causal depthwise convolution of three tokens (`causal_conv1d`), per head of 16 channels:
    u, B = silu(conv(u, B)),  C = pe ∗ silu(conv(C)),  δ = softplus(dt + dt_bias),  A = −exp(A_log)
    h_t = exp(δ_t·A)·h_{t−1} + δ_t·u_t ⊗ B_t,  y_t = h_t·C_t + D·u_t,  h_0 = 0  (`ssd`)
    and over all channels v = y·silu(z),  v / √(mean(v²) + eps) · norm_weight.

    Args:
        projected: (b, l, 2d + 16 + h) tokens of square windows, row by row: z (d), u (d), B (16), dt (h = d/16).
        readout: (b, l, 16), C of the distant frame, in the dtype of projected.
        conv_weight, conv_bias: (d + 16, 3) and (d + 16,), for u and B.
        readout_weight, readout_bias: (16, 3) and (16,), for C.
        pe: (16, 3, 3), a depthwise convolution over the window's grid, zero-padded.
        dt_bias, A_log, D: (h,).
        norm_weight: (d,).
        eps: of the norm.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (b, l, d) in the dtype of projected; everything inside is float32 or better. Differentiable once.

    Raises:
        ValueError: shapes do not fit, or l is no square.
    """
    d = norm_weight.shape[0]
    tensors = (projected, readout, conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, A_log, D)
    _check(
        'cross_window_ssd',
        d,
        ('projected', projected, (*projected.shape[:2], 2 * d + SIZE + d // SIZE)),
        ('readout', readout, (*projected.shape[:2], SIZE)),
        ('conv_weight', conv_weight, (d + SIZE, 3)),
        ('conv_bias', conv_bias, (d + SIZE,)),
        ('readout_weight', readout_weight, (SIZE, 3)),
        ('readout_bias', readout_bias, (SIZE,)),
        ('pe', pe, (SIZE, 3, 3)),
        *((name, v, (d // SIZE,)) for name, v in (('dt_bias', dt_bias), ('A_log', A_log), ('D', D))),
    )
    if math.isqrt(projected.shape[1]) ** 2 != projected.shape[1]:
        raise ValueError(f'cross_window_ssd: {projected.shape[1]} tokens are no square window')
    return _CROSS(backend, *tensors, norm_weight, eps)


def inner_window_ssd(
    projected: torch.Tensor,
    conv_weight: torch.Tensor,
    conv_bias: torch.Tensor,
    dt_bias: torch.Tensor,
    A_log: torch.Tensor,
    D: torch.Tensor,
    norm_weight: torch.Tensor,
    norm_bias: torch.Tensor,
    eps: float = 1e-5,
    backend: str | None = None,
) -> torch.Tensor:
    """The scan of a window beside channels that pass it by: convolution, SSD and LayerNorm (MedVSR, Sec. 3.4).

    u, B, C = silu(conv(u, B, C)); y as in `cross_window_ssd`; LayerNorm(cat(y, z)).

    Args:
        projected: (b, l, 2d + 32 + h) tokens: z (d), u (d), B (16), C (16), dt (h = d/16).
        conv_weight, conv_bias: (d + 32, 3) and (d + 32,), for u, B and C.
        dt_bias, A_log, D: (h,).
        norm_weight, norm_bias: (2d,).
        eps: of the norm.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (b, l, 2d) in the dtype of projected; everything inside is float32 or better. Differentiable once.

    Raises:
        ValueError: shapes do not fit.
    """
    d = norm_weight.shape[0] // 2
    _check(
        'inner_window_ssd',
        d,
        ('projected', projected, (*projected.shape[:2], 2 * d + 2 * SIZE + d // SIZE)),
        ('conv_weight', conv_weight, (d + 2 * SIZE, 3)),
        ('conv_bias', conv_bias, (d + 2 * SIZE,)),
        *((name, v, (d // SIZE,)) for name, v in (('dt_bias', dt_bias), ('A_log', A_log), ('D', D))),
        ('norm_weight', norm_weight, (2 * d,)),
        ('norm_bias', norm_bias, (2 * d,)),
    )
    return _INNER(backend, projected, conv_weight, conv_bias, dt_bias, A_log, D, norm_weight, norm_bias, eps)


def _check(operator, d, *wanted):
    if d < SIZE or d % SIZE:
        raise ValueError(f'{operator}: {d} channels in the scan are no multiple of {SIZE}')
    if wanted[0][1].dim() != 3 or 0 in wanted[0][1].shape:
        raise ValueError(f'{operator}: projected (b, l, c) expected, none of them 0; got {(*wanted[0][1].shape,)}')
    for name, tensor, shape in wanted:
        if tensor.shape != shape:
            raise ValueError(f'{operator}: {name} {shape} expected for d = {d}, got {(*tensor.shape,)}')


_CROSS = Operator(
    'cross_window_ssd', Backend('triton', triton.cross, triton.why_not), Backend('reference', reference.cross)
)
_INNER = Operator(
    'inner_window_ssd', Backend('triton', triton.inner, triton.why_not), Backend('reference', reference.inner)
)
