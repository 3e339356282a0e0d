"""The kernels as operators of PyTorch: torch.compile and torch.export take each as one node.

They take mixed dtypes, so autocast has nothing to cast; what is inside is float32 whatever comes. The cross form has
readout, its weight, its bias and `pe`, the inner form has `shift`.
"""

import torch
from torch import Tensor

from basicsr_ssm.ops.windowed_ssd import triton


@torch.library.custom_op('basicsr_ssm::windowed_ssd', mutates_args=())
def windowed_ssd(
    projected: Tensor, readout: Tensor | None, conv_weight: Tensor, conv_bias: Tensor, dt_bias: Tensor, A_log: Tensor,
    D: Tensor, gain: Tensor, readout_weight: Tensor | None, readout_bias: Tensor | None, pe: Tensor | None,
    shift: Tensor | None, eps: float,
) -> Tensor:  # fmt: skip
    return triton.forward(
        projected,
        readout,
        conv_weight,
        conv_bias,
        dt_bias,
        A_log,
        D,
        gain,
        readout_weight,
        readout_bias,
        pe,
        shift,
        eps,
    )


@windowed_ssd.register_fake
def _(projected, readout, conv_weight, conv_bias, dt_bias, A_log, D, gain, *others):
    return projected.new_empty(*projected.shape[:2], gain.shape[0])


@torch.library.custom_op('basicsr_ssm::windowed_ssd_backward', mutates_args=())
def windowed_ssd_backward(
    grad: Tensor, projected: Tensor, readout: Tensor | None, conv_weight: Tensor, conv_bias: Tensor, dt_bias: Tensor,
    A_log: Tensor, D: Tensor, gain: Tensor, readout_weight: Tensor | None, readout_bias: Tensor | None,
    pe: Tensor | None, shift: Tensor | None, eps: float,
) -> list[Tensor]:  # fmt: skip
    """Gradients of the tensors that there are, in their order, shapes and dtypes."""
    return triton.backward(
        grad, projected, readout, conv_weight, conv_bias, dt_bias, A_log, D, gain,
        readout_weight, readout_bias, pe, shift, eps,
    )  # fmt: skip


@windowed_ssd_backward.register_fake
def _(grad, *inputs):
    return [v.new_empty(v.shape) for v in inputs[:12] if v is not None]


def _save(ctx, inputs, output):
    *tensors, ctx.eps = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, grad):
    tensors = ctx.saved_tensors  # once: activation checkpointing makes them anew at each look
    grads = iter(windowed_ssd_backward(grad, *tensors, ctx.eps))
    return *(None if v is None else next(grads) for v in tensors), None


windowed_ssd.register_autograd(_backward, setup_context=_save)
