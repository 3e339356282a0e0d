"""Causal depthwise convolution over tokens."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.causal_conv1d import triton, vendor
from basicsr_ssm.ops.causal_conv1d.reference import reference
from basicsr_ssm.ops.dispatch import Backend, Operator

_ACTIVATIONS = (None, 'silu')


def causal_conv1d(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    activation: str | None = None,
    backend: str | None = None,
) -> torch.Tensor:
    """y[t] = activation(bias + sum_i weight[:, i] · x[t − (k − 1) + i]), with x = 0 before the first token.

    The short convolution in front of the scans of Mamba (Gu & Dao, 2023, Fig. 3) and Mamba-2.

    Args:
        x: (b, l, d) tokens, any floating dtype.
        weight: (d, k), one filter a channel; the last tap meets the present token.
        bias: (d,) or None.
        activation: None or 'silu'.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (b, l, d) in the dtype of x. The Triton backend computes in float32 and is differentiable once.

    Raises:
        ValueError: shapes do not fit or the activation is unknown.
    """
    if activation not in _ACTIVATIONS:
        raise ValueError(f'causal_conv1d: activation {activation!r} is not one of {_ACTIVATIONS}')
    if x.dim() != 3 or weight.dim() != 2 or weight.shape[0] != x.shape[2]:
        raise ValueError(
            f'causal_conv1d: x (b, l, d) and weight (d, k) expected, got {(*x.shape,)} and {(*weight.shape,)}'
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f'causal_conv1d: bias {(*weight.shape[:1],)} expected, got {(*bias.shape,)}')
    return _OPERATOR(backend, x, weight, bias, activation)


# causal-conv1d behind the reference: to compare with, where it is asked for
_OPERATOR = Operator(
    'causal_conv1d',
    Backend('triton', triton.call, triton.why_not),
    Backend('reference', reference),
    Backend('causal-conv1d', vendor.call, vendor.why_not),
)
