"""The kernels as operators of PyTorch: torch.compile and torch.export take each as one node.

They take mixed dtypes, so autocast has nothing to cast; positions and states are float32 whatever comes.
"""

import torch
from torch import Tensor

from basicsr_ssm.ops.cross_scan import triton
from basicsr_ssm.ops.triton_support import on_device_of


@torch.library.custom_op('basicsr_ssm::window_cross_scan', mutates_args=())
def window_cross_scan(frame: Tensor, positions: Tensor, encoding: Tensor, C: Tensor, A: Tensor, D: Tensor) -> Tensor:
    with on_device_of(frame):
        return triton.forward(triton.Call(frame, positions, encoding, C, A, D))


@window_cross_scan.register_fake
def _(frame, positions, encoding, C, A, D):
    return frame.new_empty(*positions.shape[:3], A.shape[0])


@torch.library.custom_op('basicsr_ssm::window_cross_scan_backward', mutates_args=())
def window_cross_scan_backward(
    dy: Tensor, frame: Tensor, positions: Tensor, encoding: Tensor, C: Tensor, A: Tensor, D: Tensor
) -> list[Tensor]:  # fmt: skip
    """Gradients of the six tensors in their shapes and dtypes."""
    from basicsr_ssm.ops.cross_scan.triton_gradient import gradients

    tensors = frame, positions, encoding, C, A, D
    with on_device_of(frame):
        grads = gradients(triton.Call(frame.contiguous(), *tensors[1:]), dy)
    return [g.to(v.dtype).contiguous() for g, v in zip(grads, tensors, strict=True)]


@window_cross_scan_backward.register_fake
def _(dy, *tensors):
    return [torch.empty(v.shape, dtype=v.dtype, device=v.device) for v in tensors]


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _backward(ctx, dy):
    return tuple(window_cross_scan_backward(dy, *ctx.saved_tensors))


window_cross_scan.register_autograd(_backward, setup_context=_save)
