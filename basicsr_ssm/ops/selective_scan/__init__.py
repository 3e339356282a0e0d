"""Selective scan (S6), the scan of Mamba."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.dispatch import Backend, Operator
from basicsr_ssm.ops.selective_scan import reference, triton, vendor

_DIRECTIONS = ('forward', 'reverse', 'both')


def selective_scan(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
    direction: str = 'forward',
    backend: str | None = None,
) -> torch.Tensor:
    """The state-space scan with a decay of its own for every channel and state, and inputs that choose it.

    Per channel: h_t = exp(δ_t·A)·h_{t−1} + δ_t·B_t·u_t,  y_t = C_t·h_t + D·u_t,  h_0 = 0, where δ is
    delta + delta_bias, through softplus if asked for; with a gate the result is y_t·silu(z_t)
    (Gu & Dao, "Mamba", 2023, Algorithm 2 and Sec. 3.3–3.4).

    'reverse' runs from the last token to the first: flip·forward·flip along l. 'both' is the sum of the two, each with
    its own A and D, on the same u, delta, B and C; the gate is applied to the sum.

    Args:
        u: (b, l, d) inputs, any floating dtype.
        delta: (b, l, d) step sizes; not negative once bias and softplus are applied.
        A: (d, n) decay rates, negative; (2, d, n) with 'both': forward, reverse.
        B: (b, l, n) input vectors, shared by the channels.
        C: (b, l, n) output vectors.
        D: (d,) skip weights or None; (2, d) with 'both'.
        z: (b, l, d) gate or None.
        delta_bias: (d,) or None.
        delta_softplus: apply softplus to delta + delta_bias.
        direction: 'forward', 'reverse' or 'both'.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (b, l, d) in the dtype of u; the state and all sums are float32 or better. Differentiable once.

    Raises:
        ValueError: shapes do not fit or the direction is unknown.
    """
    if direction not in _DIRECTIONS:
        raise ValueError(f'selective_scan: direction {direction!r} is not one of {_DIRECTIONS}')
    if u.dim() != 3 or 0 in u.shape:
        raise ValueError(f'selective_scan: u (b, l, d) expected, none of them 0; got {(*u.shape,)}')
    batch, length, channels = u.shape
    sets = (2,) if direction == 'both' else ()
    if A.dim() != len(sets) + 2 or A.shape[:-1] != (*sets, channels) or A.shape[-1] < 1:
        wanted = (*sets, channels, 'n')
        raise ValueError(f'selective_scan: A {wanted} expected for {direction!r}, got {(*A.shape,)}')
    tokens, states = (batch, length, channels), (batch, length, A.shape[-1])
    for name, tensor, shape in (
        ('delta', delta, tokens),
        ('B', B, states),
        ('C', C, states),
        ('D', D, (*sets, channels)),
        ('z', z, tokens),
        ('delta_bias', delta_bias, (channels,)),
    ):
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f'selective_scan: {name} {shape} expected for {direction!r}, got {(*tensor.shape,)}')
    if direction != 'both':
        A, D = A[None], None if D is None else D[None]
    return _OPERATOR(backend, u, delta, A, B, C, D, z, delta_bias, delta_softplus, direction)


def _triton(*args):
    from basicsr_ssm.ops.selective_scan.torch_op import scan

    return scan(*args, 'triton')


def _reference(*args):
    if not torch.compiler.is_compiling():
        return reference.scan(*args)
    from basicsr_ssm.ops.selective_scan.torch_op import scan

    return scan(*args, 'reference')


# mamba-ssm behind the reference: to compare with, where it is asked for
_OPERATOR = Operator(
    'selective_scan',
    Backend('triton', _triton, triton.why_not),
    Backend('reference', _reference),
    Backend('mamba-ssm', vendor.scan, vendor.why_not),
)
