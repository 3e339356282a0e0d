"""The kernels of LayerNorm: tiles (rows, channels)."""

import triton
import triton.language as tl

from basicsr_ssm.ops import triton_types


@triton.jit
def _load(at, number, total, stride, c, CHANNELS: tl.constexpr):
    """The rows of a tile, (rows, channels), in float32, 0 past the last."""
    return tl.load(at + number.to(tl.int64) * stride + c, mask=(number < total) & (c < CHANNELS), other=0.0).to(
        tl.float32
    )


@triton.jit
def normalized(x, c, eps, CHANNELS: tl.constexpr):
    """Rows (rows, channels) without their mean and spread, 0 from CHANNELS on, and what they were scaled by."""
    mean = tl.sum(x, 1, keep_dims=True) / CHANNELS
    x = tl.where(c < CHANNELS, x - mean, 0.0)
    scale = tl.rsqrt(tl.sum(x * x, 1, keep_dims=True) / CHANNELS + eps)
    return x * scale, scale


@triton.jit(do_not_specialize=['total'])
def forward(
    x, weight, bias, y, total, stride, eps, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr
):  # fmt: skip
    c = tl.arange(0, BLOCK)[None, :]
    number = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    v, _ = normalized(_load(x, number, total, stride, c, CHANNELS), c, eps, CHANNELS)
    v = v * tl.load(weight + c, mask=c < CHANNELS, other=0.0).to(tl.float32)
    v += tl.load(bias + c, mask=c < CHANNELS, other=0.0).to(tl.float32)
    tl.store(y + number.to(tl.int64) * CHANNELS + c, v, mask=(number < total) & (c < CHANNELS))


@triton.jit(do_not_specialize=['total', 'TILES'])
def backward(
    dy, x, weight, dx, shares, total, dy_stride, stride, eps, TILES: triton_types.LOOP_LENGTH,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """shares (2, programs, channels): of the gradients of weight and bias."""
    c = tl.arange(0, BLOCK)[None, :]
    gain = tl.load(weight + c, mask=c < CHANNELS, other=0.0).to(tl.float32)
    to_weight = tl.zeros([ROWS, BLOCK], tl.float32)
    to_bias = tl.zeros([ROWS, BLOCK], tl.float32)
    for tile in range(TILES):
        number = (tl.program_id(0) * TILES + tile) * ROWS + tl.arange(0, ROWS)[:, None]
        v, scale = normalized(_load(x, number, total, stride, c, CHANNELS), c, eps, CHANNELS)
        slope = _load(dy, number, total, dy_stride, c, CHANNELS)
        to_weight += slope * v
        to_bias += slope
        slope *= gain
        slope -= tl.sum(slope, 1, keep_dims=True) / CHANNELS + v * (tl.sum(slope * v, 1, keep_dims=True) / CHANNELS)
        tl.store(dx + number.to(tl.int64) * CHANNELS + c, slope * scale, mask=(number < total) & (c < CHANNELS))
    c = tl.arange(0, BLOCK)
    shares += tl.program_id(0) * CHANNELS + c
    tl.store(shares, tl.sum(to_weight, 0), mask=c < CHANNELS)
    tl.store(shares + tl.num_programs(0) * CHANNELS, tl.sum(to_bias, 0), mask=c < CHANNELS)
