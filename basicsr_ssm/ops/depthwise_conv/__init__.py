"""Depthwise convolutions with the channels last: of the frames of a clip, and of images."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.depthwise_conv import reference, triton
from basicsr_ssm.ops.dispatch import Backend, Operator

__all__ = ['channels_last_serves', 'depthwise_conv2d', 'depthwise_conv3d']


def depthwise_conv3d(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, backend: str | None = None
) -> torch.Tensor:
    """Each channel convolved with its own filter over time and space, zeros outside.

    The DW-3D Conv of VSRM's TGFN (Eq. 6).

    Args:
        x: (n, t, h, w, c), any floating dtype; any view is taken without a copy whose channels lie side by side.
        weight: (c, 1, kt, kh, kw), taps in time, rows, columns, each number odd; of the dtype of x or another.
        bias: (c,) or None.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (n, t, h, w, c) in the dtype of x, or in that of autocast, as any convolution. The Triton backend sums in
        float32, reads the parameters as they are, and is differentiable once in them.

    Raises:
        ValueError: shapes do not fit.
    """
    _check('depthwise_conv3d', '(n, t, h, w, c)', '(c, 1, kt, kh, kw)', x, weight, bias)
    return _CONV3D(backend, x, weight, bias)


def depthwise_conv2d(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, backend: str | None = None
) -> torch.Tensor:
    """Each channel of an image convolved with its own filter, zeros outside; the parameters are those of an nn.Conv2d.

    Args:
        x: (n, h, w, c), as in `depthwise_conv3d`.
        weight: (c, 1, kh, kw), each number odd.
        bias: (c,) or None.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (n, h, w, c), as in `depthwise_conv3d`.

    Raises:
        ValueError: shapes do not fit.
    """
    _check('depthwise_conv2d', '(n, h, w, c)', '(c, 1, kh, kw)', x, weight, bias)
    return _CONV2D(backend, x, weight, bias)


def channels_last_serves(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> bool:
    """Whether `depthwise_conv2d` has kernels of its own for this call, which like the channels of x side by side.

    Otherwise it is PyTorch's convolution, which is at its best where x is a view of an (n, c, h, w) tensor.
    """
    return _CONV2D.choose(None, x, weight, bias).name == 'triton'


def _check(operator, x_shape, weight_shape, x, weight, bias):
    dims = x_shape.count(',') + 1
    if x.dim() != dims or weight.dim() != dims or weight.shape[:2] != (x.shape[-1], 1):
        raise ValueError(
            f'{operator}: x {x_shape} and weight {weight_shape} expected, got {(*x.shape,)} and {(*weight.shape,)}'
        )
    if not all(k % 2 for k in weight.shape[2:]):
        raise ValueError(f'{operator}: odd numbers of taps expected, got weight {(*weight.shape,)}')
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f'{operator}: bias {(*weight.shape[:1],)} expected, got {(*bias.shape,)}')


_CONV3D = Operator(
    'depthwise_conv3d',
    Backend('triton', triton.conv3d, triton.why_not),
    Backend('conv2d', reference.conv3d_by_frames, reference.why_not_by_frames),
    Backend('reference', reference.conv3d),
)
_CONV2D = Operator(
    'depthwise_conv2d', Backend('triton', triton.conv2d, triton.why_not), Backend('reference', reference.conv2d)
)
