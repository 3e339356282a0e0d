"""The kernel as an operator of PyTorch, basicsr_ssm::residual_mlp, without gradients."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.triton_support import on_device_of

_ROWS = 64  # of a program


@torch.library.custom_op(
    'basicsr_ssm::residual_mlp',
    mutates_args=(),
    schema='(Tensor x, Tensor mixed, Tensor projection, Tensor weight1, Tensor weight2, Tensor norm_weight, '
    'Tensor norm_bias, Tensor bias1, Tensor bias2, float eps) -> Tensor',
)
def residual_mlp(x, mixed, projection, weight1, weight2, norm_weight, norm_bias, bias1, bias2, eps):
    """projection, weight1 and weight2: in the dtype of the products."""
    from basicsr_ssm.ops.residual_mlp.triton_kernel import residual_mlp as kernel

    channels, hidden = x.shape[-1], len(bias1)
    result = _result(x, projection)
    rows, others = (v.reshape(-1, channels).contiguous() for v in (x, mixed))
    parameters = (v.contiguous() for v in (projection, weight1, weight2, norm_weight, norm_bias, bias1, bias2))
    with on_device_of(x):
        kernel[((len(rows) + _ROWS - 1) // _ROWS,)](
            rows, others, *parameters, result, len(rows), eps, C=channels, HIDDEN=hidden, ROWS=_ROWS, num_warps=4
        )
    return result


def _result(x, projection):
    return torch.empty(x.shape, dtype=torch.promote_types(x.dtype, projection.dtype), device=x.device)


@residual_mlp.register_fake
def _(x, mixed, projection, weight1, weight2, norm_weight, norm_bias, bias1, bias2, eps):
    return _result(x, projection)
