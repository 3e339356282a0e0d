"""The kernels as operators of PyTorch: torch.compile and torch.export take each as one node.

They take mixed dtypes, so autocast has nothing to cast; positions are float32 whatever comes.
"""

import torch
from torch import Tensor

from basicsr_ssm.ops.flow_warp import triton
from basicsr_ssm.ops.layout import layout_of


@torch.library.custom_op('basicsr_ssm::flow_warp', mutates_args=())
def flow_warp(x: Tensor, flow: Tensor, border: bool) -> Tensor:
    return triton.forward(x, flow, border)


@flow_warp.register_fake
def _(x, flow, border):
    return torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=layout_of(x))


@torch.library.custom_op('basicsr_ssm::flow_warp_backward', mutates_args=())
def flow_warp_backward(
    dy: Tensor, x: Tensor, flow: Tensor, border: bool, wants_x: bool, wants_flow: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of x and flow, float32, each empty unless it is wanted."""
    return triton.backward(dy, x, flow, border, wants_x, wants_flow)


@flow_warp_backward.register_fake
def _(dy, x, flow, border, wants_x, wants_flow):
    dx, dflow = (torch.empty(0, dtype=torch.float32, device=x.device) for _ in range(2))
    if wants_x:
        dx = torch.empty(x.shape, dtype=torch.float32, device=x.device, memory_format=layout_of(x))
    if wants_flow:
        dflow = torch.empty(flow.shape, dtype=torch.float32, device=x.device)
    return dx, dflow


def _save(ctx, inputs, output):
    x, flow, ctx.border = inputs
    ctx.save_for_backward(x, flow)


def _backward(ctx, dy):
    x, flow = ctx.saved_tensors
    wants_x, wants_flow, _ = ctx.needs_input_grad
    dx, dflow = flow_warp_backward(dy, x, flow, ctx.border, wants_x, wants_flow)
    return dx.to(x.dtype) if wants_x else None, dflow.to(flow.dtype) if wants_flow else None, None


flow_warp.register_autograd(_backward, setup_context=_save)
