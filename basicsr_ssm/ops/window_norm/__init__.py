"""LayerNorm of the tokens of a feature map's windows."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.dispatch import Backend, Operator
from basicsr_ssm.ops.layer_norm import layer_norm
from basicsr_ssm.ops.window_norm import triton
from basicsr_ssm.ops.windows import to_tokens


def window_norm(
    x: torch.Tensor, size: int, weight: torch.Tensor, bias: torch.Tensor, eps: float = 1e-5, backend: str | None = None
) -> torch.Tensor:
    """LN(tokens of x): what MedVSR's cross state-space block starts with (MedVSR, Sec. 3.3).

    Args:
        x: (n, c, h, w), any floating dtype; zero-padded right and below to whole windows.
        size: side of the square windows, pixels.
        weight, bias: (c,), of the norm.
        eps: of the norm.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (n·windows, size², c) in the dtype of x, also under autocast; tokens row by row, windows row by row. The Triton
        backend serves maps whose channels lie side by side, in calls of which no gradient is recorded.

    Raises:
        ValueError: shapes do not fit.
    """
    if x.dim() != 4 or not weight.shape == bias.shape == x.shape[1:2] or size < 1:
        raise ValueError(
            f'window_norm: x {(*x.shape,)}, windows of {size}, weight {(*weight.shape,)} and bias {(*bias.shape,)} '
            'do not fit'
        )
    return _OPERATOR(backend, x, size, weight, bias, eps)


def _triton(*args):
    # registered where it is first used: older releases of PyTorch, which come with an older Triton, cannot
    from basicsr_ssm.ops.window_norm.torch_op import window_norm

    return window_norm(*args)


def _reference(x, size, weight, bias, eps):
    return layer_norm(to_tokens(x, size), weight, bias, eps)


_OPERATOR = Operator('window_norm', Backend('triton', _triton, triton.why_not), Backend('reference', _reference))
