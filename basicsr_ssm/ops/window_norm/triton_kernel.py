"""The kernel of the norm of windows: one program a tile of tokens (ROWS, channels), read where the map has them."""

import triton
import triton.language as tl

from basicsr_ssm.ops.layer_norm.triton_kernels import normalized
from basicsr_ssm.ops.triton_windows import pixel_of


@triton.jit(do_not_specialize=['total', 'height', 'width', 'down', 'across'])
def window_norm(
    x, weight, bias, result, total, height, width, down, across, step_n, step_h, step_w, eps,
    SIZE: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """step_n, step_h, step_w: strides of the map; those of its channels are 1."""
    token = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    c = tl.arange(0, BLOCK)[None, :]
    image, row, column, inside = pixel_of(token, height, width, down, across, SIZE)
    place = image.to(tl.int64) * step_n + row.to(tl.int64) * step_h + column.to(tl.int64) * step_w
    v = tl.load(x + place + c, mask=inside & (token < total) & (c < CHANNELS), other=0.0).to(tl.float32)
    v, _ = normalized(v, c, eps, CHANNELS)
    v = v * tl.load(weight + c, mask=c < CHANNELS, other=0.0).to(tl.float32)
    v += tl.load(bias + c, mask=c < CHANNELS, other=0.0).to(tl.float32)
    at = result + token.to(tl.int64) * CHANNELS + c
    tl.store(at, v.to(result.dtype.element_ty), mask=(token < total) & (c < CHANNELS))
