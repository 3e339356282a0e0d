"""The last stage of the forward pass of the windowed SSD."""

import triton
import triton.language as tl

from basicsr_ssm.ops.windowed_ssd.triton_steps import (
    decays,
    exp2,
    number,
    over_heads,
    product,
    sigmoid,
    times_of,
    tokens_of,
    turned,
    values,
)


@triton.jit
def finish(
    projected, out, scratch, pe, skip, norm_weight, norm_bias, projected_batch,
    ROW: tl.constexpr, SCRATCH: tl.constexpr, LENGTH: tl.constexpr, WINDOW: tl.constexpr, TOKENS: tl.constexpr,
    CHUNK: tl.constexpr, HEADS: tl.constexpr, PADDED: tl.constexpr, CROSS: tl.constexpr, EXACT: tl.constexpr,
    EPS: tl.constexpr,
):  # fmt: skip
    """(windows, chunks): `pe`, the results of the scan, gate and norm. CROSS: of the two forms."""
    D: tl.constexpr = HEADS * 16
    WIDTH: tl.constexpr = D if CROSS else 2 * D
    program, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    projected += program * projected_batch
    scratch += program * SCRATCH
    out += program * LENGTH * WIDTH
    head, t, p, inside, cell = tokens_of(chunk, CHUNK, LENGTH, HEADS, PADDED)
    channel, known = head * 16 + p, (head < HEADS) & (p < 16)
    z = number(projected + t * ROW + channel, inside)
    state = tl.load(scratch + LENGTH * (D + 48) + 2 * PADDED * TOKENS + cell)
    step, total, _ = times_of(scratch, chunk, LENGTH, TOKENS, CHUNK, D, PADDED)
    u, B, C = values(scratch, pe, chunk, head, t, p, inside, CHUNK, LENGTH, WINDOW, D)
    mix = product(C, turned(B), EXACT) * decays(total, CHUNK)
    y = product(C, state, EXACT) * exp2(total)[:, :, None] + product(mix, step[:, :, None] * u, EXACT)
    y += number(skip + head, head < HEADS) * u

    gain = number(norm_weight + channel, known)
    to = out + t * WIDTH + channel
    if CROSS:
        v = y * (z * sigmoid(z))
        v = v * tl.rsqrt(over_heads(v * v) / D + EPS) * gain
        tl.store(to, v.to(out.dtype.element_ty), mask=inside)
    else:
        mean = over_heads(y + z) / WIDTH
        y, z = tl.where(known, y - mean, 0.0), tl.where(known, z - mean, 0.0)
        scale = tl.rsqrt(over_heads(y * y + z * z) / WIDTH + EPS)
        v = y * scale * gain + number(norm_bias + channel, known)
        tl.store(to, v.to(out.dtype.element_ty), mask=inside)
        v = z * scale * number(norm_weight + D + channel, known) + number(norm_bias + D + channel, known)
        tl.store(to + D, v.to(out.dtype.element_ty), mask=inside)
