"""Modulated deformable convolution (DCNv2)."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F

from basicsr_ssm.ops.dispatch import Backend, Operator


def deform_conv2d(
    x: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    padding: int = 1,
    backend: str | None = None,
) -> torch.Tensor:
    """y(p) = Σ_k weight_k · mask_k(p) · x(p + p_k + offset_k(p)), stride 1, bilinear, zeros outside.

    Modulated deformable convolution (Zhu et al., "Deformable ConvNets v2", 2019, Eq. 1), channels ordered as in
    torchvision.

    Args:
        x: (n, c, h, w).
        offset: (n, 2·g·k·k, h', w') in pixels; per deformable group, per tap: (dy, dx).
        mask: (n, g·k·k, h', w'); per deformable group, per tap.
        weight: (c', c, k, k).
        bias: (c',) or None.
        padding: zeros around x; h' = h + 2·padding − k + 1.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (n, c', h', w') in the dtype of x. Positions are float32 or better.

    Raises:
        ValueError: shapes do not fit.
    """
    n, channels, height, width = x.shape
    taps = weight.shape[2] * weight.shape[3]
    size = (height + 2 * padding - weight.shape[2] + 1, width + 2 * padding - weight.shape[3] + 1)
    groups = mask.shape[1] // taps
    if (
        weight.shape[1] != channels
        or groups < 1
        or channels % groups
        or mask.shape != (n, groups * taps, *size)
        or offset.shape != (n, 2 * groups * taps, *size)
    ):
        raise ValueError(
            f'deform_conv2d: x {(*x.shape,)}, weight {(*weight.shape,)} and padding {padding} want offset '
            f'(n, 2·g·{taps}, {size[0]}, {size[1]}) and mask (n, g·{taps}, …), g a divisor of {channels}; '
            f'got {(*offset.shape,)} and {(*mask.shape,)}'
        )
    return _OPERATOR(backend, x, offset, mask, weight, bias, padding)


def _reference(x, offset, mask, weight, bias, padding):
    dtype = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        sampled = _sample(*(v.to(dtype) for v in (x, offset, mask)), weight.shape[2:], padding)
        y = weight.to(dtype).flatten(1) @ sampled.flatten(1, 2)
        if bias is not None:
            y = y + bias.to(dtype)[:, None]
    return y.unflatten(2, offset.shape[2:]).to(x.dtype)


def _sample(x, offset, mask, kernel, padding):
    """Masked bilinear samples, (n, c, k·k, h'·w'), each a weighted sum of four rows of x: an embedding bag.

    Positions stay in pixels (grid_sample's [−1, 1] would round them), and a group's channels are read together.
    """
    n, channels, height, width = x.shape
    taps, size = kernel[0] * kernel[1], offset.shape[2:]
    groups = mask.shape[1] // taps
    tap_y, tap_x = torch.meshgrid(
        torch.arange(kernel[0], device=x.device), torch.arange(kernel[1], device=x.device), indexing='ij'
    )
    rows = torch.arange(size[0], device=x.device).view(-1, 1) - padding
    columns = torch.arange(size[1], device=x.device) - padding
    offset = offset.view(n, groups, taps, 2, *size)
    y = offset[:, :, :, 0] + (tap_y.reshape(-1, 1, 1) + rows)
    z = offset[:, :, :, 1] + (tap_x.reshape(-1, 1, 1) + columns)
    y0, x0 = y.detach().floor(), z.detach().floor()
    fy, fx = y - y0, z - x0

    first_row = torch.arange(n * groups, device=x.device).view(n, groups, 1, 1, 1) * (height * width)
    indices, weights = [], []
    for corner_y, weight_y in ((y0, 1 - fy), (y0 + 1, fy)):
        for corner_x, weight_x in ((x0, 1 - fx), (x0 + 1, fx)):
            inside = (corner_y >= 0) & (corner_y < height) & (corner_x >= 0) & (corner_x < width)
            # clamped as floats: a far position would overflow an index; NaN reads row 0, its weight stays NaN
            row = corner_y.clamp(0, height - 1).nan_to_num(0).long() * width
            indices.append(row + corner_x.clamp(0, width - 1).nan_to_num(0).long() + first_row)
            weights.append(weight_y * weight_x * inside)
    indices = torch.stack(indices, -1).view(-1, 4)
    weights = (torch.stack(weights, -1) * mask.view(n, groups, taps, *size, 1)).view(-1, 4)
    table = x.view(n, groups, channels // groups, height * width).transpose(2, 3).reshape(-1, channels // groups)
    sampled = F.embedding_bag(indices, table, mode='sum', per_sample_weights=weights)
    sampled = sampled.view(n, groups, taps, size[0] * size[1], channels // groups)
    return sampled.permute(0, 1, 4, 2, 3).reshape(n, channels, taps, -1)


@functools.cache
def _torchvision_reason() -> str | None:
    """None where torchvision's compiled operators load, else why not; asked once, and never at import."""
    try:
        import torchvision
        from torchvision.extension import _has_ops
    except (ImportError, RuntimeError) as error:
        return f'torchvision does not load ({error})'
    if _has_ops():
        return None
    return (
        f'the compiled operators of torchvision {torchvision.__version__} do not load beside torch {torch.__version__}'
    )


def _why_not_torchvision(x=None, *args, **kwargs) -> str | None:
    return _torchvision_reason()


def _torchvision(x, offset, mask, weight, bias, padding):
    from torchvision.ops import deform_conv2d as call

    dtype = torch.promote_types(x.dtype, torch.float32)
    x_, offset, mask, weight = (v.to(dtype) for v in (x, offset, mask, weight))
    bias = None if bias is None else bias.to(dtype)
    with torch.autocast(x.device.type, enabled=False):
        return call(x_, offset, weight, bias, padding=padding, mask=mask).to(x.dtype)


_OPERATOR = Operator(
    'deform_conv2d',
    Backend('torchvision', _torchvision, _why_not_torchvision),
    Backend('reference', _reference),
)
