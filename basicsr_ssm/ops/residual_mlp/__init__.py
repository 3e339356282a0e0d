"""The end of a state-space block: what was mixed is projected and added, then an MLP of the normalized sum."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops.dispatch import Backend, Operator
from basicsr_ssm.ops.layer_norm import layer_norm
from basicsr_ssm.ops.residual_mlp import triton
from basicsr_ssm.ops.windows import to_map, to_tokens, windows_of


def residual_mlp(
    x: torch.Tensor,
    mixed: torch.Tensor,
    projection: torch.Tensor,
    norm_weight: torch.Tensor,
    norm_bias: torch.Tensor,
    weight1: torch.Tensor,
    bias1: torch.Tensor,
    weight2: torch.Tensor,
    bias2: torch.Tensor,
    eps: float = 1e-5,
    window: int | None = None,
    backend: str | None = None,
) -> torch.Tensor:
    """v = x + P·mixed; v + W2·GELU(W1·LN(v) + b1) + b2, GELU the exact one (MedVSR, Sec. 3.3).

    Args:
        x, mixed: (…, c) tokens, any floating dtypes. With a window, x is a map (n, c, h, w), and `mixed` (n·windows,
            window², c) belongs to its tokens, as `basicsr_ssm.ops.window_norm` orders and pads them.
        projection: P, (c, c); norm_weight, norm_bias: (c,); weight1: (hidden, c); bias1: (hidden,); weight2:
            (c, hidden); bias2: (c,): as nn.Linear and nn.LayerNorm have them.
        eps: of the norm.
        window: side of the square windows, pixels; None: x is tokens.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        the shape of x, in the dtype of x and the products together, these being in that of autocast or of the inputs.
        The Triton backend serves calls of which no gradient is recorded, of maps those whose channels lie side by side,
        and rounds only what goes into a product, and the result.

    Raises:
        ValueError: shapes do not fit.
    """
    c, hidden = mixed.shape[-1], len(bias1)
    expected = ((c, c), (c,), (c,), (hidden, c), (hidden,), (c, hidden), (c,))
    parameters = (projection, norm_weight, norm_bias, weight1, bias1, weight2, bias2)
    of_x = (*x.shape,) if window is None else _tokens_shape(x, window)
    if mixed.shape != of_x or any(v.shape != shape for v, shape in zip(parameters, expected, strict=True)):
        shapes = ', '.join(str((*v.shape,)) for v in parameters)
        windows = '' if window is None else f' in windows of {window}'
        raise ValueError(
            f'residual_mlp: x {(*x.shape,)}{windows}, mixed {(*mixed.shape,)} and parameters {shapes} do not fit'
        )
    return _OPERATOR(backend, x, mixed, *parameters, eps, window)


def _tokens_shape(x, window):
    if x.dim() != 4 or window < 1:
        return None
    down, across = windows_of(x, window)
    return x.shape[0] * down * across, window**2, x.shape[1]


def _reference(x, mixed, projection, norm_weight, norm_bias, weight1, bias1, weight2, bias2, eps, window):
    v = x if window is None else to_tokens(x, window)
    v = v + F.linear(mixed, projection)
    hidden = F.gelu(F.linear(layer_norm(v, norm_weight, norm_bias, eps), weight1, bias1))
    v = v + F.linear(hidden, weight2, bias2)
    return v if window is None else to_map(v, window, x)


_OPERATOR = Operator('residual_mlp', Backend('triton', triton.call, triton.why_not), Backend('reference', _reference))
