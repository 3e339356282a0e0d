"""The kernel of the block's end: one program a tile of tokens (ROWS, C), the hidden numbers C at a time."""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_product import product


@triton.jit
def _gelu(x):
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))


@triton.jit
def _row(at):
    """Numbers that all tokens share, in float32, (1, n)."""
    return tl.load(at).to(tl.float32)[None, :]


@triton.jit(do_not_specialize=['total'])
def residual_mlp(
    x, mixed, projection, weight1, weight2, norm_weight, norm_bias, bias1, bias2, result, total, eps,
    C: tl.constexpr, HIDDEN: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Matrices are (out, in), and read as (in, out)."""
    token = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    c = tl.arange(0, C)
    across, down = c[None, :], c[:, None]
    place, on = token.to(tl.int64) * C + across, token < total
    w = tl.load(projection + across * C + down)
    v = tl.load(x + place, mask=on, other=0.0).to(tl.float32)
    v = product(tl.load(mixed + place, mask=on, other=0.0).to(w.dtype), w, v)

    centred = v - tl.sum(v, 1, keep_dims=True) / C
    scale = tl.rsqrt(tl.sum(centred * centred, 1, keep_dims=True) / C + eps)
    normalized = (centred * scale * _row(norm_weight + c) + _row(norm_bias + c)).to(w.dtype)
    v += _row(bias2 + c)
    for first in tl.static_range(0, HIDDEN, C):
        w = tl.load(weight1 + (first + across) * C + down)
        hidden = product(normalized, w, tl.zeros((ROWS, C), tl.float32)) + _row(bias1 + first + c)
        w = tl.load(weight2 + across * HIDDEN + first + down)
        v = product(_gelu(hidden).to(w.dtype), w, v)
    tl.store(result + place, v.to(result.dtype.element_ty), mask=on)
