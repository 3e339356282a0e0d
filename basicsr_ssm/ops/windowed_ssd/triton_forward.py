"""The forward kernel of the windowed SSD: one program a window."""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_math import exp2, sigmoid
from basicsr_ssm.ops.windowed_ssd.triton_steps import chunk, decays, number, prepare, product, turned


@triton.jit
def forward(
    projected, readout, out, scratch,
    conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, a_log, skip, norm_weight, norm_bias,
    projected_batch, readout_batch,
    ROW: tl.constexpr, READOUT_ROW: tl.constexpr, SCRATCH: tl.constexpr, LENGTH: tl.constexpr, WINDOW: tl.constexpr,
    TOKENS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, HEADS: tl.constexpr, PADDED: tl.constexpr,
    CROSS: tl.constexpr, EXACT: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """(window,). CROSS: of the two forms."""
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

    head, p = tl.arange(0, PADDED)[:, None, None], tl.arange(0, 16)[None, None, :]
    known = (head < HEADS) & (p < 16)
    channel = head * 16 + p
    d = number(skip + head, head < HEADS)
    gain = number(norm_weight + channel, known)
    state = tl.zeros((PADDED, 16, 16), tl.float32)
    for k in range(CHUNKS):
        u, B, C, step, total, last = chunk(scratch, k * CHUNK, LENGTH, TOKENS, CHUNK, HEADS, PADDED)
        x = step[:, :, None] * u
        mix = product(C, turned(B), EXACT) * decays(total, CHUNK)
        y = product(C, state, EXACT) * exp2(total)[:, :, None] + product(mix, x, EXACT) + d * u
        to_end = exp2(last[:, None] - total)[:, :, None]
        state = state * exp2(last)[:, None, None] + product(turned(B), x * to_end, EXACT)

        t = k * CHUNK + tl.arange(0, CHUNK)[None, :, None]
        inside = (t < LENGTH) & known
        z = number(projected + t * ROW + channel, inside)
        to = out + t * WIDTH + channel
        if CROSS:
            v = y * (z * sigmoid(z))
            size = tl.sum(tl.sum(v * v, 2), 0) / D
            v = v * tl.rsqrt(size + EPS)[None, :, None] * gain
            tl.store(to, v.to(out.dtype.element_ty), mask=inside)
        else:
            mean = tl.sum(tl.sum(y + z, 2), 0) / WIDTH
            y, z = y - mean[None, :, None], z - mean[None, :, None]
            size = tl.sum(tl.sum(tl.where(known, y * y + z * z, 0.0), 2), 0) / WIDTH
            scale = tl.rsqrt(size + EPS)[None, :, None]
            v = y * scale * gain + number(norm_bias + channel, known)
            tl.store(to, v.to(out.dtype.element_ty), mask=inside)
            v = z * scale * number(norm_weight + D + channel, known) + number(norm_bias + D + channel, known)
            tl.store(to + D, v.to(out.dtype.element_ty), mask=inside)
