"""The kernel of the block's end: one program a tile of tokens (ROWS, C), the hidden numbers C at a time."""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_product import product
from basicsr_ssm.ops.triton_windows import pixel_of


@triton.jit
def _gelu(x):
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))


@triton.jit
def _row(at):
    """Numbers that all tokens share, in float32, (1, n)."""
    return tl.load(at).to(tl.float32)[None, :]


@triton.jit(do_not_specialize=['total', 'height', 'width', 'down', 'across'])
def residual_mlp(
    x, mixed, projection, weight1, weight2, norm_weight, norm_bias, bias1, bias2, result,
    total, height, width, down, across, step_n, step_h, step_w, eps,
    WINDOW: tl.constexpr, C: tl.constexpr, HIDDEN: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Matrices are (out, in), and read as (in, out). x and result are tokens as `mixed` is, or with a WINDOW maps: x of
    these strides, the result contiguous, channels last."""
    token = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    c = tl.arange(0, C)
    across_c, down_c = c[None, :], c[:, None]
    place, on = token.to(tl.int64) * C, token < total
    if WINDOW == 0:
        from_x, to_result, inside = place, place, on
    else:
        image, row, column, inside = pixel_of(token, height, width, down, across, WINDOW)
        inside = inside & on
        image, row = image.to(tl.int64), row.to(tl.int64)
        from_x = image * step_n + row * step_h + column.to(tl.int64) * step_w
        to_result = ((image * height + row) * width + column) * C
    w = tl.load(projection + across_c * C + down_c)
    v = tl.load(x + from_x + across_c, mask=inside, other=0.0).to(tl.float32)
    v = product(tl.load(mixed + place + across_c, mask=on, other=0.0).to(w.dtype), w, v)

    centred = v - tl.sum(v, 1, keep_dims=True) / C
    scale = tl.rsqrt(tl.sum(centred * centred, 1, keep_dims=True) / C + eps)
    normalized = (centred * scale * _row(norm_weight + c) + _row(norm_bias + c)).to(w.dtype)
    v += _row(bias2 + c)
    for first in tl.static_range(0, HIDDEN, C):
        w = tl.load(weight1 + (first + across_c) * C + down_c)
        hidden = product(normalized, w, tl.zeros((ROWS, C), tl.float32)) + _row(bias1 + first + c)
        w = tl.load(weight2 + across_c * HIDDEN + first + down_c)
        v = product(_gelu(hidden).to(w.dtype), w, v)
    tl.store(result + to_result + across_c, v.to(result.dtype.element_ty), mask=inside)
