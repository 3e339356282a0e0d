"""The backward kernel of the windowed SSD: one program a window, from its last chunk to its first.

Everything is computed anew, the states before the chunks first; they take the end of the scratch memory. With
x = step·u, the decays of a chunk L and S = (dy xᵀ)∘L, per head: the slope of C Bᵀ is S; that of the exponent between
tokens s < t is P = S∘(C Bᵀ), and the exponent of token r lies between all s < r ≤ t. Slopes of u, B and C replace them
in the scratch memory, chunk by chunk.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_math import exp2, sigmoid
from basicsr_ssm.ops.triton_product import product
from basicsr_ssm.ops.windowed_ssd.triton_steps import (
    chunks,
    decays,
    neighbour,
    number,
    over_heads,
    passed_on,
    prepare,
    short_conv_gradient,
    turned,
    window_conv,
)


@triton.jit
def _of_heads(v, PADDED: tl.constexpr):
    """(chunks·heads,) or (chunks·heads, 16): the sum over the chunks."""
    if len(v.shape) == 1:
        parts = tl.reshape(v, (v.shape[0] // PADDED, PADDED))
    else:
        parts = tl.reshape(v, (v.shape[0] // PADDED, PADDED, 16))
    return tl.sum(parts, 0)


@triton.jit
def backward(
    projected, readout, scratch, grad,
    conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, a_log, skip, norm_weight,
    to_projected, to_readout, partial,
    projected_batch, readout_batch,
    ROW: tl.constexpr, READOUT_ROW: tl.constexpr, SCRATCH: tl.constexpr, LENGTH: tl.constexpr, WINDOW: tl.constexpr,
    TOKENS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, HEADS: tl.constexpr, PADDED: tl.constexpr,
    CROSS: tl.constexpr, PARTIAL: tl.constexpr, EXACT: tl.constexpr, EPS: tl.constexpr, TOGETHER: tl.constexpr,
):  # fmt: skip
    """(window,). `partial` (windows, PARTIAL) gets the window's share of the parameters' gradients, in the order that
    `triton.py` takes them apart in. TOGETHER: chunks at a time.
    """
    D: tl.constexpr = HEADS * 16
    WIDTH: tl.constexpr = D if CROSS else 2 * D
    CONVOLVED: tl.constexpr = D + (16 if CROSS else 32)  # channels of the short convolution
    SUMS: tl.constexpr = D + CONVOLVED + HEADS  # columns of to_projected
    program = tl.program_id(0).to(tl.int64)
    projected += program * projected_batch
    scratch += program * SCRATCH
    grad += program * LENGTH * WIDTH
    to_projected += program * LENGTH * SUMS
    partial += program * PARTIAL
    if CROSS:
        readout += program * readout_batch
        to_readout += program * LENGTH * 16
    prepare(
        projected, readout, scratch, conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, a_log,
        ROW, READOUT_ROW, LENGTH, WINDOW, TOKENS, CHUNK, HEADS, PADDED, CROSS,
    )  # fmt: skip

    n = tl.arange(0, 16)[None, :]
    BATCH: tl.constexpr = TOGETHER * PADDED
    batch, p = tl.arange(0, BATCH), tl.arange(0, 16)[None, None, :]
    head2 = (batch % PADDED)[:, None]
    head = head2[:, :, None]
    known = (head < HEADS) & (p < 16)
    channel = head * 16 + p
    d = number(skip + head, head < HEADS)
    rate = -tl.exp(number(a_log + head2, head2 < HEADS))
    gain = number(norm_weight + channel, known)

    # the states before the chunks
    states = (
        scratch
        + LENGTH * (D + 48)
        + 2 * PADDED * TOKENS
        + (batch[:, None, None] * 16 + tl.arange(0, 16)[None, :, None]) * 16
        + p
    )
    state = tl.zeros((PADDED, 16, 16), tl.float32)
    for k in range(0, CHUNKS, TOGETHER):
        u, B, C, step, total, last = chunks(scratch, k * CHUNK, LENGTH, TOKENS, CHUNK, HEADS, PADDED, TOGETHER)
        x = u * (step * exp2(last[:, None] - total))[:, :, None]
        before, state = passed_on(state, exp2(last), product(turned(B), x, None, EXACT), PADDED, TOGETHER, False)
        tl.store(states + k * PADDED * 256, before)
    tl.debug_barrier()

    dstate = tl.zeros((PADDED, 16, 16), tl.float32)
    dgain, dgain2, dshift, dshift2 = (
        tl.zeros((BATCH, 16), tl.float32), tl.zeros((BATCH, 16), tl.float32),
        tl.zeros((BATCH, 16), tl.float32), tl.zeros((BATCH, 16), tl.float32),
    )  # fmt: skip
    dbias, drate, dskip = (
        tl.zeros((BATCH,), tl.float32), tl.zeros((BATCH,), tl.float32), tl.zeros((BATCH,), tl.float32),
    )  # fmt: skip
    for back in range(0, CHUNKS, TOGETHER):
        k = (CHUNKS - 1) // TOGETHER * TOGETHER - back
        # the forward pass of the chunks
        u, B, C, step, total, last = chunks(scratch, k * CHUNK, LENGTH, TOKENS, CHUNK, HEADS, PADDED, TOGETHER)
        before = tl.load(states + k * PADDED * 256)
        x = step[:, :, None] * u
        L = decays(total, CHUNK)
        mix = product(C, turned(B), None, EXACT) * L
        from_start, to_end = exp2(total)[:, :, None], exp2(last[:, None] - total)[:, :, None]
        y_state = product(C, before, None, EXACT) * from_start
        y = product(mix, x, None, EXACT) + y_state + d * u

        # the norm, and the gate of the cross form
        token = (k + batch // PADDED)[:, None] * CHUNK + tl.arange(0, CHUNK)[None, :]
        t3 = token[:, :, None]
        inside3 = (t3 < LENGTH) & known
        z = number(projected + t3 * ROW + channel, inside3)
        dout = number(grad + t3 * WIDTH + channel, inside3)
        if CROSS:
            gate = sigmoid(z)
            v = y * (z * gate)
            scale = tl.rsqrt(over_heads(tl.sum(v * v, 2), PADDED, TOGETHER) / D + EPS)[:, :, None]
            dgain += tl.sum(dout * v * scale, 1)
            dv = dout * gain
            shared = over_heads(tl.sum(dv * v, 2), PADDED, TOGETHER)[:, :, None] / D
            dv = scale * (dv - v * (scale * scale * shared))
            dz = dv * y * (gate * (1.0 + z * (1.0 - gate)))
            dy = dv * (z * gate)
        else:
            dout2 = number(grad + D + t3 * WIDTH + channel, inside3)
            mean = (over_heads(tl.sum(y + z, 2), PADDED, TOGETHER) / WIDTH)[:, :, None]
            v, v2 = tl.where(known, y - mean, 0.0), tl.where(known, z - mean, 0.0)
            scale = tl.rsqrt(over_heads(tl.sum(v * v + v2 * v2, 2), PADDED, TOGETHER) / WIDTH + EPS)[:, :, None]
            v, v2 = v * scale, v2 * scale
            dgain += tl.sum(dout * v, 1)
            dgain2 += tl.sum(dout2 * v2, 1)
            dshift += tl.sum(dout, 1)
            dshift2 += tl.sum(dout2, 1)
            dv, dv2 = dout * gain, dout2 * number(norm_weight + D + channel, known)
            first = over_heads(tl.sum(dv + dv2, 2), PADDED, TOGETHER)[:, :, None] / WIDTH
            second = over_heads(tl.sum(dv * v + dv2 * v2, 2), PADDED, TOGETHER)[:, :, None] / WIDTH
            dy = tl.where(inside3, scale * (dv - first - v * second), 0.0)
            dz = scale * (dv2 - first - v2 * second)
        tl.store(to_projected + t3 * SUMS + channel, dz.to(to_projected.dtype.element_ty), mask=inside3)

        # the scan
        S = product(dy, turned(x), None, EXACT) * L
        P = product(dy, turned(x), None, EXACT) * mix
        ends = tl.arange(0, CHUNK)
        P = tl.where((ends[:, None] > ends[None, :])[None, :, :], P, 0.0)
        after, dstate = passed_on(
            dstate, exp2(last), product(turned(C), dy * from_start, None, EXACT), PADDED, TOGETHER, True
        )  # fmt: skip
        x_state = product(B, after, None, EXACT) * to_end
        dx = product(turned(mix), dy, None, EXACT) + x_state
        within = tl.sum(P, 2) - tl.sum(P, 1) + tl.sum(dy * y_state, 2)
        leaving = tl.sum(x * x_state, 2)
        through = exp2(last) * tl.sum(tl.sum(before * after, 2), 1)
        dpower = tl.cumsum(within, 1, reverse=True) + (tl.cumsum(leaving, 1) - leaving) + through[:, None]
        dstep = rate * dpower + tl.sum(u * dx, 2)
        inside2 = (token < LENGTH) & (head2 < HEADS)
        dt_at = D + CONVOLVED + head2
        raw = number(projected + token * ROW + dt_at, inside2) + number(dt_bias + head2, head2 < HEADS)
        draw = tl.where(inside2, dstep * sigmoid(raw), 0.0)
        tl.store(to_projected + token * SUMS + dt_at, draw.to(to_projected.dtype.element_ty), mask=inside2)
        dbias += tl.sum(draw, 1)
        drate += tl.sum(step * dpower, 1)
        dskip += tl.sum(tl.sum(dy * u, 2), 1)
        du = step[:, :, None] * dx + d * dy
        dB = product(turned(S), C, None, EXACT) + product(x, turned(after), None, EXACT) * to_end
        dC = product(S, B, None, EXACT) + product(dy, turned(before), None, EXACT) * from_start
        dB = tl.sum(tl.reshape(tl.where(head < HEADS, dB, 0.0), (TOGETHER, PADDED, CHUNK, 16)), 1)
        dC = tl.sum(tl.reshape(tl.where(head < HEADS, dC, 0.0), (TOGETHER, PADDED, CHUNK, 16)), 1)
        tl.debug_barrier()
        tl.store(scratch + t3 * (D + 32) + channel, du, mask=inside3)
        t = (k + tl.arange(0, TOGETHER)[:, None]) * CHUNK + tl.arange(0, CHUNK)[None, :]
        at, inside = scratch + D + t[:, :, None] * (D + 32) + p, (t < LENGTH)[:, :, None] & (p < 16)
        tl.store(at, dB, mask=inside)
        tl.store(at + 16, dC, mask=inside)

    # the window's share of the parameters' gradients
    head1 = tl.arange(0, PADDED)
    head2 = head1[:, None]
    dbias, drate, dskip = _of_heads(dbias, PADDED), _of_heads(drate, PADDED), _of_heads(dskip, PADDED)
    at = partial + CONVOLVED * 4 + head1
    tl.store(at, dbias, mask=head1 < HEADS)
    tl.store(at + HEADS, -tl.exp(number(a_log + head1, head1 < HEADS)) * drate, mask=head1 < HEADS)
    tl.store(at + 2 * HEADS, dskip, mask=head1 < HEADS)
    norm = partial + CONVOLVED * 4 + 3 * HEADS
    wide, known2 = head2 * 16 + n, (head2 < HEADS) & (n < 16)
    tl.store(norm + wide, _of_heads(dgain, PADDED), mask=known2)
    if not CROSS:
        tl.store(norm + D + wide, _of_heads(dgain2, PADDED), mask=known2)
        tl.store(norm + WIDTH + wide, _of_heads(dshift, PADDED), mask=known2)
        tl.store(norm + WIDTH + D + wide, _of_heads(dshift2, PADDED), mask=known2)

    # the convolutions, whose slopes come from later tokens
    tl.debug_barrier()
    every = tl.arange(0, TOKENS)[:, None]
    inside = (every < LENGTH) & (n < 16)
    for block in range(CONVOLVED // 16):
        c = block * 16 + n
        slope_at = scratch + every * (D + 32) + c
        short_conv_gradient(
            projected + D + every * ROW + c, number(slope_at, inside), slope_at, to_projected + D + every * SUMS + c,
            every, inside, ROW, D + 32, LENGTH, conv_weight + c * 3, conv_bias + c,
            partial + c * 3, partial + CONVOLVED * 3 + c,
        )  # fmt: skip
    if CROSS:
        shares = norm + D
        slope_at = scratch + every * (D + 32) + D + 16 + n
        slope = number(slope_at, inside)
        for tap in tl.static_range(9):
            near = neighbour(scratch + LENGTH * (D + 32) + every * 16 + n, every, inside, tap, 16, WINDOW)
            tl.store(shares + 64 + n * 9 + tap, tl.sum(slope * near, 0)[None, :])
        short_conv_gradient(
            readout + every * READOUT_ROW + n, window_conv(slope_at, every, inside, pe + n * 9, D + 32, WINDOW, True),
            slope_at, to_readout + every * 16 + n, every, inside, READOUT_ROW, D + 32, LENGTH,
            readout_weight + n * 3, readout_bias + n, shares + n * 3, shares + 48 + n,
        )  # fmt: skip
