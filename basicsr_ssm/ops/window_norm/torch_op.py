"""The kernel as an operator of PyTorch, basicsr_ssm::window_norm, without gradients."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.triton_support import on_device_of
from basicsr_ssm.ops.windows import windows_of

_TILE = 2048  # numbers of a program


@torch.library.custom_op('basicsr_ssm::window_norm', mutates_args=())
def window_norm(x: torch.Tensor, size: int, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    from basicsr_ssm.ops.window_norm.triton_kernel import window_norm as kernel

    result = _result(x, size)
    channels, total = x.shape[1], result.shape[0] * result.shape[1]
    block = 1 << (channels - 1).bit_length()
    rows = max(1, _TILE // block)
    down, across = windows_of(x, size)
    with on_device_of(x):
        kernel[((total + rows - 1) // rows,)](
            x, weight.contiguous(), bias.contiguous(), result, total, *x.shape[2:], down, across,
            x.stride(0), x.stride(2), x.stride(3), eps,
            SIZE=size, CHANNELS=channels, BLOCK=block, ROWS=rows, num_warps=4,
        )  # fmt: skip
    return result


def _result(x, size):
    down, across = windows_of(x, size)
    return torch.empty((x.shape[0] * down * across, size * size, x.shape[1]), dtype=x.dtype, device=x.device)


@window_norm.register_fake
def _(x, size, weight, bias, eps):
    return _result(x, size)
