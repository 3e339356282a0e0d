"""How the kernel is launched, from shapes, strides and dtypes; kept, for it takes longer to find than to run."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch

FEWEST = 16  # channels that make a block of columns of their own
MOST_TOGETHER = 64  # taps · channels of an input of few that are multiplied in one step
_FEWEST_TAPS = 32  # columns of a step of an input of few channels
_TILE, _SMALL_TILE = (8, 16), (4, 16)  # rows, columns of pixels; the small one where the others leave the GPU idle
_MOST_OUT = 128  # outputs of a program
_LOAD = 16  # bytes of one load; asynchronous ones of 16 pass by the first-level cache in Triton 3.6
_STAGES = 3  # steps whose numbers are on their way, or there
_WARP_OUT = 2048  # numbers of the result that a warp computes


class Form(NamedTuple):
    """What is known of a tensor (n, c, h, w) without its numbers; strides of dimensions of 1 are 0."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, v: torch.Tensor) -> Form:
        shape = tuple(v.shape)
        return cls(shape, tuple(s if d > 1 else 0 for s, d in zip(v.stride(), shape, strict=True)), v.dtype)

    @property
    def has_many(self) -> bool:
        """Channels, enough for a block of their own."""
        return self.shape[1] >= FEWEST

    @property
    def is_near(self) -> bool:
        """Whether offsets within a tile fit 32 bits."""
        _, channel, row, column = self.strides
        return row < 2**23 and column < 2**23 and channel < 2**26

    @property
    def is_one_line(self) -> bool:
        """Whether all pixels of all images are at the same distance from each other."""
        n, _, h, w = self.shape
        image, _, row, column = self.strides
        whole = (h == 1 or row == w * column) and (n == 1 or image == h * w * column)
        return whole and w > 1 and n * h * w < 2**30

    @property
    def vec(self) -> int:
        """The unit of its strides: numbers that one load may take, as far as these tell."""
        image, _, row, column = self.strides
        return math.gcd(_LOAD // self.dtype.itemsize, image, row, column) if self.has_many else 1

    def coded(self, vec: int) -> tuple[int, ...]:
        """The strides, which a kernel gets in a tuple: odd and more than 1, for of such it is not compiled again."""
        n, c, h, w = self.strides
        return tuple(2 * s + 3 for s in (n // vec, c, h // vec, w // vec))


class Launch(NamedTuple):
    """The kernel's grid and its arguments."""

    grid: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    numbers: tuple[int, ...]
    sizes: dict[str, object]


@functools.lru_cache(1024)
def plan(
    inputs: tuple[Form, ...],
    residual: Form | None,
    weight: tuple[int, ...],
    itemsize: int,
    shuffle: int,
    multiprocessors: int,
) -> Launch:
    """For these inputs, and a weight of that shape with numbers of `itemsize` bytes."""
    out, total, side, _ = weight
    images, _, height, width = inputs[0].shape
    one_line = side == 1 and shuffle == 1 and all(v is None or v.is_one_line for v in (*inputs, residual))
    if one_line:
        images, height, width = 1, 1, images * height * width
    n = min(_MOST_OUT, max(16, 1 << (out - 1).bit_length()))
    blocks = -(-out // n)
    for rows, columns in (_TILE, _SMALL_TILE):
        rows, columns = (1, rows * columns) if one_line else (rows, columns)
        across = -(-width // columns)
        tiles = across * -(-height // rows)
        if images * tiles * blocks >= multiprocessors:
            break
    sizes, vecs = _groups(inputs, side, itemsize)
    steps, together = (0, 0, 0, 0), 0
    if residual is not None:
        steps, together = residual.strides, residual.vec if residual.strides[1] == 1 else 0
        steps = tuple(step // (together or 1) for step in steps)
    sizes |= dict(
        RESIDUAL=together, TOTAL=total, OUT=out, SIDE=side, SHUFFLE=shuffle, ROWS=rows, COLUMNS=columns, N=n,
        num_warps=max(4, rows * columns * n // _WARP_OUT), num_stages=_STAGES,
    )  # fmt: skip
    return Launch(
        (blocks * tiles * images,),
        tuple(v.coded(vec) for v, vec in zip(inputs, vecs, strict=True)),
        (height, width, across, tiles, blocks, *steps),
        sizes,
    )


def _groups(inputs, side, itemsize):
    """What the kernel is compiled for: runs of inputs that share a loop. And the unit of the strides of each input."""
    starts, kinds = [], []
    for i, v in enumerate(inputs):
        kind = (v.dtype, v.shape[1], *v.strides[2:])
        if not kinds or kinds[-1] != kind or not v.has_many:
            starts.append(i)
            kinds.append(kind)
    ends = (*starts[1:], len(inputs))
    runs = [inputs[start:end] for start, end in zip(starts, ends, strict=True)]
    channels = tuple(run[0].shape[1] for run in runs)
    lines = tuple(_lines(c, side) for c in channels)
    vecs = tuple(math.gcd(*(v.vec for v in run)) for run in runs)
    sizes = dict(
        STARTS=tuple(starts),
        ENDS=ends,
        CHANNELS=channels,
        FIRST=tuple(sum(v.shape[1] for v in inputs[:start]) for start in starts),
        WIDTHS=tuple(_width(c, v, side, itemsize) for c, v in zip(channels, lines, strict=True)),
        LINES=lines,
        VECS=vecs,
    )
    return sizes, [vec for vec, run in zip(vecs, runs, strict=True) for _ in run]


def _lines(channels, side):
    """Lines of taps of a step: all if the taps · channels are few, else one; 0 of an input of many channels."""
    if channels >= FEWEST:
        return 0
    return side if side * side * channels <= MOST_TOGETHER else 1


def _width(channels, lines, side, itemsize):
    """Columns of a step: all taps · channels of its lines, and 32 at least, for where float32 had steps of 16 and of
    32, ptxas (of Triton 3.6) made an address from a register that nothing writes; of many channels as many of 128 bytes
    as leave no more than a quarter unused."""
    if lines:
        return max(_FEWEST_TAPS, 1 << (lines * side * channels - 1).bit_length())
    sizes = [size for size in (64, 32, 16) if size * itemsize <= 128]
    return next((size for size in sizes if 4 * (-channels % size) <= channels), sizes[-1])
