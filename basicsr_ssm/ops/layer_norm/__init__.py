"""LayerNorm over few channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops.dispatch import Backend, Operator
from basicsr_ssm.ops.layer_norm import triton


def layer_norm(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float = 1e-5, backend: str | None = None
) -> torch.Tensor:
    """(x − mean) / √(variance + eps) · weight + bias over the last dimension (Ba et al., 2016, Eq. 4).

    Args:
        x: (…, c), any floating dtype.
        weight, bias: (c,).
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (…, c) in the dtype of x, also under autocast; computed in float32 or better.

    Raises:
        ValueError: shapes do not fit.
    """
    if x.dim() < 1 or not weight.shape == bias.shape == x.shape[-1:]:
        raise ValueError(f'layer_norm: x {(*x.shape,)} does not fit weight {(*weight.shape,)}, bias {(*bias.shape,)}')
    return _OPERATOR(backend, x, weight, bias, eps)


def _triton(*args):
    from basicsr_ssm.ops.layer_norm.torch_op import layer_norm

    return layer_norm(*args)


def _reference(x, weight, bias, eps):
    dtype = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        return F.layer_norm(x.to(dtype), x.shape[-1:], weight.to(dtype), bias.to(dtype), eps).to(x.dtype)


_OPERATOR = Operator('layer_norm', Backend('triton', _triton, triton.why_not), Backend('reference', _reference))
