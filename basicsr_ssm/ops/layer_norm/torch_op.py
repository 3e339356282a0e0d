"""The kernels as operators of PyTorch: torch.compile and torch.export take each as one node.

They take mixed dtypes, so autocast has nothing to cast; statistics are float32 whatever comes.
"""

import torch
from torch import Tensor

from basicsr_ssm.ops.layer_norm import triton


@torch.library.custom_op('basicsr_ssm::layer_norm', mutates_args=())
def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return triton.forward(x, weight, bias, eps)


@layer_norm.register_fake
def _(x, weight, bias, eps):
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


@torch.library.custom_op('basicsr_ssm::layer_norm_backward', mutates_args=())
def layer_norm_backward(dy: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, in its dtype, of weight and bias, in float32."""
    dx, dweight, dbias = triton.backward(dy, x, weight, eps)
    return dx, dweight.clone(), dbias.clone()


@layer_norm_backward.register_fake
def _(dy, x, weight, eps):
    dx = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    return dx, *(torch.empty(weight.shape, dtype=torch.float32, device=x.device) for _ in range(2))


def _save(ctx, inputs, output):
    x, weight, bias, ctx.eps = inputs
    ctx.dtypes = weight.dtype, bias.dtype
    ctx.save_for_backward(x, weight)


def _backward(ctx, dy):
    dx, *others = layer_norm_backward(dy, *ctx.saved_tensors, ctx.eps)
    return dx, *(g.to(dtype) for g, dtype in zip(others, ctx.dtypes, strict=True)), None


layer_norm.register_autograd(_backward, setup_context=_save)
