"""Causal depthwise convolution over tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F

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
        (b, l, d) in the dtype of x.

    Raises:
        ValueError: shapes do not fit or the activation is unknown.
    """
    if activation not in _ACTIVATIONS:
        raise ValueError(f'causal_conv1d: activation {activation!r} is not one of {_ACTIVATIONS}')
    if x.dim() != 3 or weight.dim() != 2 or weight.shape[0] != x.shape[2]:
        raise ValueError(
            f'causal_conv1d: x (b, l, d) and weight (d, k) expected, got {(*x.shape,)} and {(*weight.shape,)}'
        )
    return _OPERATOR(backend, x, weight, bias, activation)


def _reference(x, weight, bias, activation):
    # k shifted products: no transpose to channels-first, which costs more than the products at k = 3 or 4
    length, taps = x.shape[1], weight.shape[1]
    weight = weight.to(x.dtype)
    padded = F.pad(x, (0, 0, taps - 1, 0))
    y = padded[:, :length] * weight[:, 0]
    for tap in range(1, taps):
        y = torch.addcmul(y, padded[:, tap : tap + length], weight[:, tap])
    if bias is not None:
        y = y + bias.to(x.dtype)
    return F.silu(y) if activation == 'silu' else y


_OPERATOR = Operator('causal_conv1d', Backend('reference', _reference))
