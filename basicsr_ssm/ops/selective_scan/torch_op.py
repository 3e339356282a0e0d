"""The scan as an operator of PyTorch, one node to torch.compile and torch.export: Triton's kernels always go through
it, plain PyTorch where it is compiled, whose tracer would unroll all blocks.

It takes mixed dtypes, so autocast has nothing to cast; the state is float32 or better whatever comes.
"""

import torch
from torch import Tensor

from basicsr_ssm.ops.selective_scan import reference, triton
from basicsr_ssm.ops.triton_support import on_device_of


def scan(u, delta, A, B, C, D, z, bias, softplus, direction, backend):
    """Of the arguments of `basicsr_ssm.ops.selective_scan`; A (1, d, n) and D (1, d), or (2, …) for both directions."""
    tensors = u, delta, A, B, C, D, z, bias
    keep = torch.is_grad_enabled() and any(v is not None and v.requires_grad for v in tensors)
    return selective_scan(*tensors, softplus, direction, backend, keep)[0]


@torch.library.custom_op('basicsr_ssm::selective_scan', mutates_args=())
def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
    bias: Tensor | None, softplus: bool, direction: str, backend: str, keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """y; of Triton, to keep for the backward pass: the states after the chunks, and what the gate multiplies."""
    if backend == 'reference':
        y = reference.scan(u, delta, A, B, C, D, z, bias, softplus, direction).contiguous()
        return y, _nothing(u), _nothing(u)
    with on_device_of(u):
        y, states, ungated = triton.forward(triton.Call(u, delta, A, B, C, D, z, bias, softplus, direction), keep)
    return y, states if keep else _nothing(u), _nothing(u) if ungated is None else ungated


@selective_scan.register_fake
def _(u, delta, A, B, C, D, z, bias, softplus, direction, backend, keep):
    y = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    if backend == 'reference' or not keep:
        return y, _nothing(u), _nothing(u)
    states = triton.Call(u, delta, A, B, C, D, z, bias, softplus, direction).states_shape
    return y, u.new_empty(states, dtype=torch.float32), _nothing(u) if z is None else torch.empty_like(y)


def _nothing(u):
    return u.new_empty(0, dtype=torch.float32)


@torch.library.custom_op('basicsr_ssm::selective_scan_backward', mutates_args=())
def selective_scan_backward(
    dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
    bias: Tensor | None, states: Tensor, ungated: Tensor, softplus: bool, direction: str, backend: str,
) -> list[Tensor]:  # fmt: skip
    """Gradients of the tensors that there are, in their order, shapes and dtypes."""
    tensors = u, delta, A, B, C, D, z, bias
    if backend == 'reference':
        grads = reference.gradients(dy, *tensors, softplus, direction)
    else:
        with on_device_of(u):
            grads = triton.backward(triton.Call(*tensors, softplus, direction), dy, states, ungated)
    return [g.to(v.dtype).contiguous() for g, v in zip(grads, tensors, strict=True) if v is not None]


@selective_scan_backward.register_fake
def _(dy, *inputs):
    return [torch.empty(v.shape, dtype=v.dtype, device=v.device) for v in inputs[:8] if v is not None]


def _save(ctx, inputs, output):
    *tensors, softplus, direction, backend, _ = inputs
    ctx.options = softplus, direction, backend
    ctx.save_for_backward(*tensors, *output[1:])


def _backward(ctx, dy, *unused):
    tensors = ctx.saved_tensors  # once: activation checkpointing makes them anew at each look
    grads = iter(selective_scan_backward(dy, *tensors, *ctx.options))
    return *(None if v is None else next(grads) for v in tensors[:8]), None, None, None, None


selective_scan.register_autograd(_backward, setup_context=_save)
