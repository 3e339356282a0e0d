"""The kernel as an operator of PyTorch, basicsr_ssm::conv2d, without gradients."""

from __future__ import annotations

import math

import torch

from basicsr_ssm.ops.triton_support import multiprocessors, on_device_of

_MOST_INPUTS = 8
_FEWEST = 16  # channels that make a block of columns of their own
_TILE, _SMALL_TILE = (8, 16), (4, 16)  # rows, columns of pixels; the small one where the others leave the GPU idle
_MOST_OUT = 128  # outputs of a program


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
    inputs = [_near(v, _has_many(v)) for v in inputs]
    residual = None if residual is None else _near(residual, False)
    out, total, side, _ = weight.shape
    images, _, height, width = inputs[0].shape
    line = side == 1 and shuffle == 1 and all(_in_one_line(v) for v in (*inputs, residual) if v is not None)
    if line:
        images, height, width = 1, 1, images * height * width
    n = min(_MOST_OUT, max(16, 1 << (out - 1).bit_length()))
    blocks = -(-out // n)
    for rows, columns in (_TILE, _SMALL_TILE):
        rows, columns = (1, rows * columns) if line else (rows, columns)
        across = -(-width // columns)
        tiles = across * -(-height // rows)
        if images * tiles * blocks >= 2 * multiprocessors(result.device):
            break
    sizes, vecs = _groups(inputs, weight.element_size())
    with on_device_of(result):
        kernel[(blocks * tiles * images,)](
            tuple(inputs), tuple(map(_coded, inputs, vecs)), weight, bias, residual, result,
            float(slope), height, width, across, tiles, blocks, *((0,) * 4 if residual is None else _strides(residual)),
            **sizes, TOTAL=total, OUT=out, SIDE=side, SHUFFLE=shuffle, ROWS=rows, COLUMNS=columns, N=n,
            num_warps=8 if rows * columns * n > 128 * 64 else 4, num_stages=3,
        )  # fmt: skip
    return result


def _groups(inputs, itemsize):
    """What the kernel is compiled for: runs of inputs that share a loop. And the unit of the strides of each input."""
    starts, kinds = [], []
    for i, v in enumerate(inputs):
        kind = (v.dtype, v.shape[1], *_strides(v)[2:])
        if not kinds or kinds[-1] != kind or not _has_many(v):
            starts.append(i)
            kinds.append(kind)
    ends = (*starts[1:], len(inputs))
    runs = [inputs[start:end] for start, end in zip(starts, ends, strict=True)]
    channels = tuple(run[0].shape[1] for run in runs)
    vecs = tuple(math.gcd(*map(_vec, run)) for run in runs)
    sizes = dict(
        STARTS=tuple(starts),
        ENDS=ends,
        CHANNELS=channels,
        FIRST=tuple(sum(v.shape[1] for v in inputs[:start]) for start in starts),
        WIDTHS=tuple(_width(c, itemsize) for c in channels),
        VECS=vecs,
    )
    return sizes, [vec for vec, run in zip(vecs, runs, strict=True) for _ in run]


def _has_many(v):
    return v.shape[1] >= _FEWEST


def _result(inputs, weight, residual, shuffle):
    images, _, height, width = inputs[0].shape
    dtype = weight.dtype if residual is None else torch.promote_types(weight.dtype, residual.dtype)
    return torch.empty(
        (images, weight.shape[0] // shuffle**2, height * shuffle, width * shuffle),
        dtype=dtype, device=inputs[0].device, memory_format=torch.channels_last,
    )  # fmt: skip


def _near(v, together):
    """v, or a copy: offsets in a tile that fit 32 bits and, where `together`, the channels of a pixel side by side."""
    _, channel, *others = _strides(v)
    if max(others) < 2**23 and channel < 2**26 and (channel == 1 or not together):
        return v
    return v.contiguous(memory_format=torch.channels_last)


def _strides(v):
    """(n, c, h, w), of the dimensions that there is anything to step over in."""
    return [s if d > 1 else 0 for s, d in zip(v.stride(), v.shape, strict=True)]


def _in_one_line(v):
    """Whether all pixels of all images are at the same distance from each other."""
    n, _, h, w = v.shape
    step = v.stride(3)
    whole = (h == 1 or v.stride(2) == w * step) and (n == 1 or v.stride(0) == h * w * step)
    return whole and w > 1 and n * h * w < 2**30


def _vec(v):
    """The unit of the strides of v: numbers that one load may take, as far as these tell."""
    if not _has_many(v):
        return 1
    return math.gcd(16 // v.element_size(), *(s for i, s in enumerate(_strides(v)) if i != 1))


def _coded(v, vec):
    """The strides, which a kernel gets in a tuple: each odd and more than 1, for of these it is not compiled again."""
    n, c, h, w = _strides(v)
    return tuple(2 * s + 3 for s in (n // vec, c, h // vec, w // vec))


def _width(channels, itemsize):
    """Channels of a step: as many of 128 bytes as leave no more than a quarter unused; 0 of an input of few."""
    if channels < _FEWEST:
        return 0
    sizes = [size for size in (64, 32, 16) if size * itemsize <= 128]
    return next((size for size in sizes if 4 * (-channels % size) <= channels), sizes[-1])


@convolve.register_fake
def _(inputs, weight, bias, slope, residual, shuffle):
    return _result(inputs, weight, residual, shuffle)
