"""The stages of the backward pass of the windowed SSD.

Everything is computed anew: they follow `begin` and `pass_states`. With x = step·u, the decays of a chunk L and
S = (dy xᵀ)∘L, per head: the slope of C Bᵀ is S; that of the exponent between tokens s < t is P = S∘(C Bᵀ), and the
exponent of token r lies between all s < r ≤ t. Slopes of u, B and C replace them in the scratch memory; beyond that of
the forward pass it has (CHUNKS, PADDED, 16, 16) slopes of the states after the chunks and (LENGTH, D) slopes of y.

No program adds to what another wrote: parameters get a share from each, to be summed in a fixed order.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.windowed_ssd.triton_steps import (
    decays,
    exp2,
    neighbour,
    number,
    over_heads,
    product,
    short_conv_gradient,
    sigmoid,
    times_of,
    tokens_of,
    turned,
    values,
    window_conv,
)


@triton.jit
def gate_gradient(
    projected, grad, to_projected, scratch, shares, pe, skip, norm_weight, projected_batch,
    ROW: tl.constexpr, SCRATCH: tl.constexpr, LENGTH: tl.constexpr, WINDOW: tl.constexpr, TOKENS: tl.constexpr,
    CHUNK: tl.constexpr, HEADS: tl.constexpr, PADDED: tl.constexpr, CROSS: tl.constexpr, SUMS: tl.constexpr,
    SHARES: tl.constexpr, EXACT: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """(windows, chunks): through norm and gate to y, and what the chunk adds to the slope of the state before it."""
    D: tl.constexpr = HEADS * 16
    WIDTH: tl.constexpr = D if CROSS else 2 * D
    CHUNKS: tl.constexpr = TOKENS // CHUNK
    program, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    projected += program * projected_batch
    scratch += program * SCRATCH
    grad += program * LENGTH * WIDTH
    to_projected += program * LENGTH * SUMS
    shares += (program * CHUNKS + chunk) * SHARES + 3 * HEADS
    head, t, p, inside, cell = tokens_of(chunk, CHUNK, LENGTH, HEADS, PADDED)
    channel, known = head * 16 + p, (head < HEADS) & (p < 16)
    states = scratch + LENGTH * (D + 48) + 2 * PADDED * TOKENS
    step, total, _ = times_of(scratch, chunk, LENGTH, TOKENS, CHUNK, D, PADDED)
    u, B, C = values(scratch, pe, chunk, head, t, p, inside, CHUNK, LENGTH, WINDOW, D)
    from_start = exp2(total)[:, :, None]
    mix = product(C, turned(B), EXACT) * decays(total, CHUNK)
    y = product(C, tl.load(states + cell), EXACT) * from_start
    y += product(mix, step[:, :, None] * u, EXACT) + number(skip + head, head < HEADS) * u

    z = number(projected + t * ROW + channel, inside)
    dout = number(grad + t * WIDTH + channel, inside)
    gain = number(norm_weight + channel, known)
    wide = tl.arange(0, PADDED)[:, None] * 16 + tl.arange(0, 16)[None, :]
    if CROSS:
        gate = sigmoid(z)
        v = y * (z * gate)
        scale = tl.rsqrt(over_heads(v * v) / D + EPS)
        tl.store(shares + wide, tl.sum(dout * v * scale, 1), mask=wide < D)
        dv = dout * gain
        dv = scale * (dv - v * (scale * scale * (over_heads(dv * v) / D)))
        dz = dv * y * (gate * (1.0 + z * (1.0 - gate)))
        dy = dv * (z * gate)
    else:
        dout2 = number(grad + D + t * WIDTH + channel, inside)
        mean = over_heads(y + z) / WIDTH
        v, v2 = tl.where(known, y - mean, 0.0), tl.where(known, z - mean, 0.0)
        scale = tl.rsqrt(over_heads(v * v + v2 * v2) / WIDTH + EPS)
        v, v2 = v * scale, v2 * scale
        tl.store(shares + wide, tl.sum(dout * v, 1), mask=wide < D)
        tl.store(shares + D + wide, tl.sum(dout2 * v2, 1), mask=wide < D)
        tl.store(shares + WIDTH + wide, tl.sum(dout, 1), mask=wide < D)
        tl.store(shares + WIDTH + D + wide, tl.sum(dout2, 1), mask=wide < D)
        dv, dv2 = dout * gain, dout2 * number(norm_weight + D + channel, known)
        first, second = over_heads(dv + dv2) / WIDTH, over_heads(dv * v + dv2 * v2) / WIDTH
        dy = tl.where(inside, scale * (dv - first - v * second), 0.0)
        dz = scale * (dv2 - first - v2 * second)
    tl.store(to_projected + t * SUMS + channel, dz.to(to_projected.dtype.element_ty), mask=inside)
    slopes = states + 2 * CHUNKS * PADDED * 256
    tl.store(slopes + t * D + channel, dy, mask=inside)
    tl.store(states + CHUNKS * PADDED * 256 + cell, product(turned(C), dy * from_start, EXACT))


@triton.jit
def scan_gradient(
    projected, to_projected, scratch, shares, dt_bias, a_log, skip, projected_batch,
    ROW: tl.constexpr, SCRATCH: tl.constexpr, LENGTH: tl.constexpr, TOKENS: tl.constexpr, CHUNK: tl.constexpr,
    HEADS: tl.constexpr, PADDED: tl.constexpr, CROSS: tl.constexpr, SUMS: tl.constexpr, SHARES: tl.constexpr,
    EXACT: tl.constexpr,
):  # fmt: skip
    """(windows, chunks): from y to the steps, u, B and C."""
    D: tl.constexpr = HEADS * 16
    CHUNKS: tl.constexpr = TOKENS // CHUNK
    program, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    projected += program * projected_batch
    scratch += program * SCRATCH
    to_projected += program * LENGTH * SUMS
    shares += (program * CHUNKS + chunk) * SHARES
    head, t, p, inside, cell = tokens_of(chunk, CHUNK, LENGTH, HEADS, PADDED)
    channel = head * 16 + p
    states = scratch + LENGTH * (D + 48) + 2 * PADDED * TOKENS
    state, dstate = tl.load(states + cell), tl.load(states + CHUNKS * PADDED * 256 + cell)
    step, total, last = times_of(scratch, chunk, LENGTH, TOKENS, CHUNK, D, PADDED)
    u, B, C = values(scratch, None, chunk, head, t, p, inside, CHUNK, LENGTH, 0, D)
    dy = tl.load(states + 2 * CHUNKS * PADDED * 256 + t * D + channel, mask=inside, other=0.0)
    from_start, to_end = exp2(total)[:, :, None], exp2(last[:, None] - total)[:, :, None]
    x = step[:, :, None] * u
    L = decays(total, CHUNK)
    mix = product(C, turned(B), EXACT) * L
    S = product(dy, turned(x), EXACT)
    ends = tl.arange(0, CHUNK)
    P = tl.where((ends[:, None] > ends[None, :])[None, :, :], S * mix, 0.0)
    S *= L
    x_state = product(B, dstate, EXACT) * to_end
    dx = product(turned(mix), dy, EXACT) + x_state
    within = tl.sum(P, 2) - tl.sum(P, 1) + tl.sum(dy * (product(C, state, EXACT) * from_start), 2)
    leaving = tl.sum(x * x_state, 2)
    through = exp2(last) * tl.sum(tl.sum(state * dstate, 2), 1)
    dpower = tl.cumsum(within, 1, reverse=True) + (tl.cumsum(leaving, 1) - leaving) + through[:, None]

    head1 = tl.arange(0, PADDED)
    head2, token = head1[:, None], chunk * CHUNK + tl.arange(0, CHUNK)[None, :]
    inside2 = (token < LENGTH) & (head2 < HEADS)
    rate = -tl.exp(number(a_log + head2, head2 < HEADS))
    dt_at = SUMS - HEADS + head2
    raw = number(projected + token * ROW + dt_at, inside2) + number(dt_bias + head2, head2 < HEADS)
    draw = tl.where(inside2, (rate * dpower + tl.sum(u * dx, 2)) * sigmoid(raw), 0.0)
    tl.store(to_projected + token * SUMS + dt_at, draw.to(to_projected.dtype.element_ty), mask=inside2)
    tl.store(shares + head1, tl.sum(draw, 1), mask=head1 < HEADS)
    tl.store(shares + HEADS + head1, tl.sum(step * rate * dpower, 1), mask=head1 < HEADS)
    tl.store(shares + 2 * HEADS + head1, tl.sum(tl.sum(dy * u, 2), 1), mask=head1 < HEADS)

    du = step[:, :, None] * dx + number(skip + head, head < HEADS) * dy
    dB = product(turned(S), C, EXACT) + product(x, turned(dstate), EXACT) * to_end
    dC = product(S, B, EXACT) + product(dy, turned(state), EXACT) * from_start
    dB, dC = tl.sum(tl.where(head < HEADS, dB, 0.0), 0), tl.sum(tl.where(head < HEADS, dC, 0.0), 0)
    tl.debug_barrier()
    tl.store(scratch + t * (D + 32) + channel, du, mask=inside)
    t, n = chunk * CHUNK + tl.arange(0, CHUNK)[:, None], tl.arange(0, 16)[None, :]
    row, there = scratch + D + t * (D + 32) + n, (t < LENGTH) & (n < 16)
    tl.store(row, dB, mask=there)
    tl.store(row + 16, dC, mask=there)


@triton.jit
def conv_gradient(
    projected, readout, to_projected, to_readout, scratch, shares,
    conv_weight, conv_bias, readout_weight, readout_bias, pe, projected_batch, readout_batch,
    ROW: tl.constexpr, READOUT_ROW: tl.constexpr, SCRATCH: tl.constexpr, LENGTH: tl.constexpr, WINDOW: tl.constexpr,
    TOKENS: tl.constexpr, D: tl.constexpr, CROSS: tl.constexpr, SUMS: tl.constexpr, SHARES: tl.constexpr,
):  # fmt: skip
    """(windows, channels / 16): through SiLU and the convolutions, whose slopes come from later tokens."""
    CONVOLVED: tl.constexpr = D + (16 if CROSS else 32)
    program, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    scratch += program * SCRATCH
    shares += program * SHARES
    t, n = tl.arange(0, TOKENS)[:, None], tl.arange(0, 16)[None, :]
    inside = (t < LENGTH) & (n < 16)
    c = block * 16 + n
    slope_at = scratch + t * (D + 32) + c
    if block * 16 < CONVOLVED:
        short_conv_gradient(
            projected + program * projected_batch + D + t * ROW + c, number(slope_at, inside), slope_at,
            to_projected + program * LENGTH * SUMS + D + t * SUMS + c, t, inside, ROW, D + 32, LENGTH,
            conv_weight + c * 3, conv_bias + c, shares + c * 3, shares + CONVOLVED * 3 + c,
        )  # fmt: skip
    elif CROSS:
        shares += CONVOLVED * 4
        slope = number(slope_at, inside)
        for tap in tl.static_range(9):
            near = neighbour(scratch + LENGTH * (D + 32) + t * 16 + n, t, inside, tap, 16, WINDOW)
            tl.store(shares + 64 + n * 9 + tap, tl.sum(slope * near, 0)[None, :])
        short_conv_gradient(
            readout + program * readout_batch + t * READOUT_ROW + n,
            window_conv(slope_at, t, inside, pe + n * 9, D + 32, WINDOW, True), slope_at,
            to_readout + program * LENGTH * 16 + t * 16 + n, t, inside, READOUT_ROW, D + 32, LENGTH,
            readout_weight + n * 3, readout_bias + n, shares + n * 3, shares + 48 + n,
        )  # fmt: skip
