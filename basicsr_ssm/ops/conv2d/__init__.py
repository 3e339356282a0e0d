"""Dense convolution of several inputs, with what mostly follows it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from basicsr_ssm.ops.conv2d import triton
from basicsr_ssm.ops.conv2d.reference import reference
from basicsr_ssm.ops.dispatch import Backend, Operator

ACTIVATIONS = None, 'relu', 'leaky_relu'


def conv2d(
    inputs: torch.Tensor | Sequence[torch.Tensor],
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    activation: str | None = None,
    slope: float = 0.1,
    residual: torch.Tensor | None = None,
    shuffle: int = 1,
    backend: str | None = None,
) -> torch.Tensor:
    """y = shuffled(activation(weight * concatenated inputs + bias)) + residual; stride 1, zeros outside.

    Args:
        inputs: (n, c_i, h, w), one or several, which are convolved as if concatenated over the channels; any floating
            dtypes, any strides.
        weight: (out, Σ c_i, k, k), k odd; the parameters are those of an nn.Conv2d.
        bias: (out,) or None.
        activation: None, 'relu' or 'leaky_relu'.
        slope: of the leaky ReLU where it is negative.
        residual: (n, out / shuffle², shuffle·h, shuffle·w) or None.
        shuffle: as in F.pixel_shuffle; 1 moves nothing.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (n, out / shuffle², shuffle·h, shuffle·w) in the dtype of autocast or of the inputs, as any convolution, plus
        the residual. The Triton backend serves calls of which no gradient is recorded, rounds once at the end, and
        gives channels that lie side by side.

    Raises:
        ValueError: shapes do not fit, or the activation is not known.
    """
    inputs = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs)
    _check(inputs, weight, bias, activation, residual, shuffle)
    return _OPERATOR(backend, inputs, weight, bias, activation, slope, residual, shuffle)


def _check(inputs, weight, bias, activation, residual, shuffle):
    if activation not in ACTIVATIONS:
        known = ', '.join(repr(v) for v in ACTIVATIONS)
        raise ValueError(f'conv2d: activation {activation!r} is not one of {known}')
    if not inputs or any(v.dim() != 4 for v in inputs):
        shapes = [(*v.shape,) for v in inputs]
        raise ValueError(f'conv2d: inputs (n, c, h, w) expected, got {shapes}')
    n, _, h, w = inputs[0].shape
    if any((v.shape[0], *v.shape[2:]) != (n, h, w) for v in inputs):
        raise ValueError(f'conv2d: inputs of one size expected, got {[(*v.shape,) for v in inputs]}')
    channels = sum(v.shape[1] for v in inputs)
    if (
        weight.dim() != 4
        or weight.shape[1] != channels
        or weight.shape[2] != weight.shape[3]
        or not weight.shape[2] % 2
    ):
        raise ValueError(f'conv2d: weight (out, {channels}, k, k), k odd, expected, got {(*weight.shape,)}')
    out = weight.shape[0]
    if shuffle < 1 or out % shuffle**2:
        raise ValueError(f'conv2d: {out} channels cannot be shuffled by {shuffle}')
    for name, tensor, shape in (
        ('bias', bias, (out,)),
        ('residual', residual, (n, out // shuffle**2, h * shuffle, w * shuffle)),
    ):
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f'conv2d: {name} {shape} expected, got {(*tensor.shape,)}')


_OPERATOR = Operator('conv2d', Backend('triton', triton.call, triton.why_not), Backend('reference', reference))
