"""The kernel as an operator of PyTorch, basicsr_ssm::conv2d, without gradients."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.conv2d.launch import Form, plan
from basicsr_ssm.ops.triton_support import multiprocessors, on_device_of

_MOST_INPUTS = 8


@torch.library.custom_op(
    'basicsr_ssm::conv2d',
    mutates_args=(),
    schema='(Tensor[] inputs, Tensor weight, Tensor? bias, float slope, Tensor? residual, int shuffle) -> Tensor',
)
def convolve(inputs, weight, bias, slope, residual, shuffle):
    """weight: in the dtype of the products, (out, c, k, k) with c last in memory. slope: of what is negative."""
    from basicsr_ssm.ops.conv2d.triton_kernels import convolve as kernel

    if len(inputs) > _MOST_INPUTS:
        inputs = [*inputs[: _MOST_INPUTS - 1], torch.cat(inputs[_MOST_INPUTS - 1 :], dim=1)]
    result = _result(inputs, weight, residual, shuffle)
    inputs = [_near(v) for v in inputs]
    residual = None if residual is None else _near(residual, True)
    grid, strides, numbers, sizes = plan(
        tuple(map(Form.of, inputs)), None if residual is None else Form.of(residual), tuple(weight.shape),
        weight.element_size(), shuffle, multiprocessors(result.device),
    )  # fmt: skip
    with on_device_of(result):
        kernel[grid](tuple(inputs), strides, weight, bias, residual, result, float(slope), *numbers, **sizes)
    return result


def _result(inputs, weight, residual, shuffle):
    images, _, height, width = inputs[0].shape
    dtype = weight.dtype if residual is None else torch.promote_types(weight.dtype, residual.dtype)
    return torch.empty(
        (images, weight.shape[0] // shuffle**2, height * shuffle, width * shuffle),
        dtype=dtype, device=inputs[0].device, memory_format=torch.channels_last,
    )  # fmt: skip


def _near(v, apart=False):
    """v, or a copy, as the kernel needs it: many channels of a pixel side by side, unless they may be apart."""
    form = Form.of(v)
    if form.is_near and (apart or not form.has_many or form.strides[1] == 1):
        return v
    return v.contiguous(memory_format=torch.channels_last)


@convolve.register_fake
def _(inputs, weight, bias, slope, residual, shuffle):
    return _result(inputs, weight, residual, shuffle)
