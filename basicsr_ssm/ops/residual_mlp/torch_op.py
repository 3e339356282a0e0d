"""The kernel as an operator of PyTorch, basicsr_ssm::residual_mlp, without gradients."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.triton_support import on_device_of
from basicsr_ssm.ops.windows import windows_of

_ROWS = 64  # of a program


@torch.library.custom_op(
    'basicsr_ssm::residual_mlp',
    mutates_args=(),
    schema='(Tensor x, Tensor mixed, Tensor projection, Tensor weight1, Tensor weight2, Tensor norm_weight, '
    'Tensor norm_bias, Tensor bias1, Tensor bias2, float eps, int window) -> Tensor',
)
def residual_mlp(x, mixed, projection, weight1, weight2, norm_weight, norm_bias, bias1, bias2, eps, window):
    """projection, weight1 and weight2: in the dtype of the products; window: 0 of tokens, else the side of a map's."""
    from basicsr_ssm.ops.residual_mlp.triton_kernel import residual_mlp as kernel

    channels, hidden = mixed.shape[-1], len(bias1)
    result = _result(x, projection, window)
    others = mixed.reshape(-1, channels).contiguous()
    rows, place = x, (0,) * 7
    if window:
        place = *x.shape[2:], *windows_of(x, window), x.stride(0), x.stride(2), x.stride(3)
    else:
        rows = x.reshape(-1, channels).contiguous()
    parameters = (v.contiguous() for v in (projection, weight1, weight2, norm_weight, norm_bias, bias1, bias2))
    with on_device_of(x):
        kernel[((len(others) + _ROWS - 1) // _ROWS,)](
            rows, others, *parameters, result, len(others), *place, eps,
            WINDOW=window, C=channels, HIDDEN=hidden, ROWS=_ROWS, num_warps=4,
        )  # fmt: skip
    return result


def _result(x, projection, window):
    dtype = torch.promote_types(x.dtype, projection.dtype)
    if not window:
        return torch.empty(x.shape, dtype=dtype, device=x.device)
    return torch.empty(x.shape, dtype=dtype, device=x.device, memory_format=torch.channels_last)


@residual_mlp.register_fake
def _(x, mixed, projection, weight1, weight2, norm_weight, norm_bias, bias1, bias2, eps, window):
    return _result(x, projection, window)
