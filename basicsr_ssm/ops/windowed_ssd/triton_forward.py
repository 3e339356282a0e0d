"""The forward kernel of the windowed SSD: one program a window."""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_math import exp2, sigmoid
from basicsr_ssm.ops.triton_product import product
from basicsr_ssm.ops.windowed_ssd.triton_steps import (
    chunks,
    decays,
    number,
    over_heads,
    passed_on,
    prepare,
    turned,
)


@triton.jit
def forward(
    projected, readout, out, scratch,
    conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, a_log, skip, norm_weight, norm_bias,
    projected_batch, readout_batch,
    ROW: tl.constexpr, READOUT_ROW: tl.constexpr, SCRATCH: tl.constexpr, LENGTH: tl.constexpr, WINDOW: tl.constexpr,
    TOKENS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, HEADS: tl.constexpr, PADDED: tl.constexpr,
    CROSS: tl.constexpr, EXACT: tl.constexpr, EPS: tl.constexpr, TOGETHER: tl.constexpr,
):  # fmt: skip
    """(window,). CROSS: of the two forms. TOGETHER: chunks at a time."""
    D: tl.constexpr = HEADS * 16
    WIDTH: tl.constexpr = D if CROSS else 2 * D
    program = tl.program_id(0).to(tl.int64)
    projected += program * projected_batch
    scratch += program * SCRATCH
    out += program * LENGTH * WIDTH
    if CROSS:
        readout += program * readout_batch
    prepare(
        projected, readout, scratch, conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, a_log,
        ROW, READOUT_ROW, LENGTH, WINDOW, TOKENS, CHUNK, HEADS, PADDED, CROSS,
    )  # fmt: skip

    batch, p = tl.arange(0, TOGETHER * PADDED)[:, None, None], tl.arange(0, 16)[None, None, :]
    head, number_of_chunk = batch % PADDED, batch // PADDED
    known = (head < HEADS) & (p < 16)
    channel = head * 16 + p
    d = number(skip + head, head < HEADS)
    gain = number(norm_weight + channel, known)
    state = tl.zeros((PADDED, 16, 16), tl.float32)
    for k in range(0, CHUNKS, TOGETHER):
        u, B, C, step, total, last = chunks(scratch, k * CHUNK, LENGTH, TOKENS, CHUNK, HEADS, PADDED, TOGETHER)
        x = step[:, :, None] * u
        mix = product(C, turned(B), None, EXACT) * decays(total, CHUNK)
        to_end = exp2(last[:, None] - total)[:, :, None]
        added = product(turned(B), x * to_end, None, EXACT)
        before, state = passed_on(state, exp2(last), added, PADDED, TOGETHER, False)
        y = product(C, before, None, EXACT) * exp2(total)[:, :, None] + product(mix, x, None, EXACT) + d * u

        t = (k + number_of_chunk) * CHUNK + tl.arange(0, CHUNK)[None, :, None]
        inside = (t < LENGTH) & known
        z = number(projected + t * ROW + channel, inside)
        to = out + t * WIDTH + channel
        if CROSS:
            v = y * (z * sigmoid(z))
            size = over_heads(tl.sum(v * v, 2), PADDED, TOGETHER) / D
            v = v * tl.rsqrt(size + EPS)[:, :, None] * gain
            tl.store(to, v.to(out.dtype.element_ty), mask=inside)
        else:
            mean = over_heads(tl.sum(y + z, 2), PADDED, TOGETHER) / WIDTH
            y, z = y - mean[:, :, None], z - mean[:, :, None]
            size = over_heads(tl.sum(tl.where(known, y * y + z * z, 0.0), 2), PADDED, TOGETHER) / WIDTH
            scale = tl.rsqrt(size + EPS)[:, :, None]
            v = y * scale * gain + number(norm_bias + channel, known)
            tl.store(to, v.to(out.dtype.element_ty), mask=inside)
            v = z * scale * number(norm_weight + D + channel, known) + number(norm_bias + D + channel, known)
            tl.store(to + D, v.to(out.dtype.element_ty), mask=inside)
