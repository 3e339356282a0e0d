"""Modulated deformable convolution (DCNv2)."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F

from basicsr_ssm.ops.dispatch import Backend, Operator

_SAMPLES_AT_ONCE = 2**18  # keeps the gathered neighbours of the reference in tens of megabytes


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
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f'deform_conv2d: bias {(*weight.shape[:1],)} expected, got {(*bias.shape,)}')
    return _OPERATOR(backend, x, offset, mask, weight, bias, padding)


def _reference(x, offset, mask, weight, bias, padding):
    dtype = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        y = _convolve(*(v.to(dtype) for v in (x, offset, mask, weight)), padding)
        if bias is not None:
            y = y + bias.to(dtype)
    return y.mT.unflatten(2, offset.shape[2:]).to(x.dtype)


def _convolve(x, offset, mask, weight, padding):
    """(n, h'·w', c'): gather the four neighbours of each sample, weigh them, multiply with the kernel.

    Positions stay in pixels: grid_sample's [−1, 1] would round them, and take the wrong one of two derivatives where a
    position is whole. The four neighbours in all channels of a group lie together in memory: one read a sample.
    """
    n, channels, height, width = x.shape
    groups = offset.shape[1] // (2 * weight[0, 0].numel())
    table = _neighbourhoods(x, groups)
    first = torch.arange(n * groups, device=x.device).view(n, 1, groups, 1) * ((height + 2) * (width + 2))
    y, z = _positions(offset, weight.shape[2:], padding)
    # past a border lie zeros: a position is as good as one on the rim of the table
    y, z = y.clamp(-1, height), z.clamp(-1, width)
    y0, x0 = y.detach().floor(), z.detach().floor()
    fy, fx = y - y0, z - x0
    cell = (y0.nan_to_num(0).long() + 1) * (width + 2) + x0.nan_to_num(0).long() + 1 + first
    mask = mask.unflatten(1, (groups, -1)).flatten(3).permute(0, 3, 1, 2)
    shares = torch.stack(((1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx), -1) * mask[..., None]
    # (tap, channel) of each group, as the samples come
    kernel = weight.reshape(weight.shape[0], groups, channels // groups, -1).permute(1, 3, 2, 0).flatten(0, 2)

    pixels = cell.shape[1]
    step = max(1, _SAMPLES_AT_ONCE // (n * cell[0, 0].numel()))
    parts = []
    for start in range(0, pixels, step):
        part = slice(start, start + step)
        neighbours = F.embedding(cell[:, part].flatten(), table).unflatten(1, (4, -1))
        sampled = torch.bmm(shares[:, part].reshape(-1, 1, 4), neighbours)
        parts.append(sampled.view(n, -1, kernel.shape[0]) @ kernel)
    return torch.cat(parts, 1)


def _neighbourhoods(x, groups):
    """Rows (4·c/g) of the 2×2 neighbourhoods of each group, with zeros outside: n·g·(h + 2)·(w + 2) of them."""
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 2, 1, 2)).unflatten(1, (groups, -1)).permute(0, 1, 3, 4, 2)
    corners = [padded[:, :, i : i + height + 2, j : j + width + 2] for i in (0, 1) for j in (0, 1)]
    return torch.stack(corners, 4).flatten(0, 3).flatten(1)


def _positions(offset, kernel, padding):
    """Sampled positions in pixels of x, y and x each (n, h'·w', g, taps)."""
    taps, size = kernel[0] * kernel[1], offset.shape[2:]
    offset = offset.unflatten(1, (-1, taps, 2)).flatten(4).permute(3, 0, 4, 1, 2)
    tap = torch.arange(taps, device=offset.device)
    pixel = torch.arange(size[0] * size[1], device=offset.device).view(-1, 1, 1)
    rows = pixel.div(size[1], rounding_mode='floor') - padding + tap.div(kernel[1], rounding_mode='floor')
    columns = pixel % size[1] - padding + tap % kernel[1]
    return offset[0] + rows, offset[1] + columns


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
    if x.device.type == 'cpu':
        # a sample at NaN reads elsewhere in memory, which ends the process; NaN as its weight gives the same result
        absent = offset.isnan()
        mask = mask.masked_fill(absent.unflatten(1, (-1, 2)).any(2), float('nan'))
        offset = offset.masked_fill(absent, 0)
    with torch.autocast(x.device.type, enabled=False):
        return call(x_, offset, weight, bias, padding=padding, mask=mask).to(x.dtype)


_OPERATOR = Operator(
    'deform_conv2d',
    Backend('torchvision', _torchvision, _why_not_torchvision),
    Backend('reference', _reference),
)
