"""What the forward and the backward kernel share.

A window goes through three stages, with a barrier between them, in scratch memory that stays in the cache: everything
that works on single tokens (`prepare`), the scan in chunks, and what works on single tokens again. The scan's tensors
are (heads, tokens, 16), or so of several chunks, one after the other: they are the batch of every matrix product, one
warp for each head of each chunk. A head's size and its number of states are both 16. Exponents of decays come times
log2(e).

Scratch of a window, float32: (LENGTH, D + 32) values u, B, C as the scan takes them; (LENGTH, 16) C before `pe`;
(2, PADDED, TOKENS) steps and, within each chunk, running sums of step·A.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_math import LOG2E, exp2, sigmoid, silu_slope, softplus


@triton.jit
def number(at, mask):
    return tl.load(at, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def short_conv(at, t, inside, ROW: tl.constexpr, weight, bias):
    """The causal convolution of three tokens, before its SiLU. `at` points to tokens t, `weight` to the first tap."""
    y = tl.load(bias).to(tl.float32) + number(at, inside) * tl.load(weight + 2)
    y += number(at - ROW, inside & (t >= 1)) * tl.load(weight + 1)
    return y + number(at - 2 * ROW, inside & (t >= 2)) * tl.load(weight)


@triton.jit
def short_conv_gradient(at, slope, slope_at, to, t, inside, ROW: tl.constexpr, SLOPE_ROW: tl.constexpr,
                        LENGTH: tl.constexpr, weight, bias, to_weight, to_bias):  # fmt: skip
    """Gradients of SiLU and `short_conv` over a whole window, from the slope of their results.

    `slope_at` is where slopes are left for the tokens before.
    """
    slope *= silu_slope(short_conv(at, t, inside, ROW, weight, bias))
    tl.debug_barrier()
    tl.store(slope_at, slope, mask=inside)
    tl.debug_barrier()
    x = number(at, inside)
    next1 = number(slope_at + SLOPE_ROW, inside & (t < LENGTH - 1))
    next2 = number(slope_at + 2 * SLOPE_ROW, inside & (t < LENGTH - 2))
    tl.store(to_weight, tl.sum(x * next2, 0)[None, :])
    tl.store(to_weight + 1, tl.sum(x * next1, 0)[None, :])
    tl.store(to_weight + 2, tl.sum(x * slope, 0)[None, :])
    tl.store(to_bias, tl.sum(tl.where(inside, slope, 0.0), 0)[None, :])
    dx = tl.load(weight + 2) * slope + tl.load(weight + 1) * next1 + tl.load(weight) * next2
    tl.store(to, dx.to(to.dtype.element_ty), mask=inside)


@triton.jit
def neighbour(at, t, inside, tap, ROW: tl.constexpr, WINDOW: tl.constexpr):
    """What lies at tap 0 … 8 of the 3×3 around tokens t of the window, 0 beyond its border."""
    down, right = tap // 3 - 1, tap % 3 - 1
    i, j = t // WINDOW + down, t % WINDOW + right
    there = inside & (i >= 0) & (i < WINDOW) & (j >= 0) & (j < WINDOW)
    return tl.load(at + (down * WINDOW + right) * ROW, mask=there, other=0.0)


@triton.jit
def window_conv(at, t, inside, weight, ROW: tl.constexpr, WINDOW: tl.constexpr, TURNED: tl.constexpr):
    """The 3×3 convolution over the window's grid; TURNED by half a turn it is its own transpose."""
    y = neighbour(at, t, inside, 0, ROW, WINDOW) * tl.load(weight + (8 if TURNED else 0))
    for tap in tl.static_range(1, 9):
        y += neighbour(at, t, inside, tap, ROW, WINDOW) * tl.load(weight + (8 - tap if TURNED else tap))
    return y


@triton.jit
def prepare(
    projected, readout, scratch, conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, a_log,
    ROW: tl.constexpr, READOUT_ROW: tl.constexpr, LENGTH: tl.constexpr, WINDOW: tl.constexpr, TOKENS: tl.constexpr,
    CHUNK: tl.constexpr, HEADS: tl.constexpr, PADDED: tl.constexpr, CROSS: tl.constexpr,
):  # fmt: skip
    """Fills the scratch memory of a window: convolutions, SiLU, and the steps of the scan."""
    D: tl.constexpr = HEADS * 16
    CONVOLVED: tl.constexpr = D + (16 if CROSS else 32)
    t, n = tl.arange(0, TOKENS)[:, None], tl.arange(0, 16)[None, :]
    inside = (t < LENGTH) & (n < 16)
    if CROSS:
        y = short_conv(readout + t * READOUT_ROW + n, t, inside, READOUT_ROW, readout_weight + n * 3, readout_bias + n)
        tl.store(scratch + LENGTH * (D + 32) + t * 16 + n, y * sigmoid(y), mask=inside)
    for block in range(CONVOLVED // 16):
        c = block * 16 + n
        x = short_conv(projected + D + t * ROW + c, t, inside, ROW, conv_weight + c * 3, conv_bias + c)
        tl.store(scratch + t * (D + 32) + c, x * sigmoid(x), mask=inside)

    head, token = tl.arange(0, PADDED)[:, None], tl.arange(0, TOKENS)[None, :]
    known = (head < HEADS) & (token < LENGTH)
    raw = number(projected + D + CONVOLVED + token * ROW + head, known) + number(dt_bias + head, head < HEADS)
    step = tl.where(known, softplus(raw), 0.0)
    power = step * (-LOG2E * tl.exp(number(a_log + head, head < HEADS)))
    times = scratch + LENGTH * (D + 48) + head * TOKENS + token
    total = tl.cumsum(tl.reshape(power, (PADDED, TOKENS // CHUNK, CHUNK)), 2)
    tl.store(times, step)
    tl.store(times + PADDED * TOKENS, tl.reshape(total, (PADDED, TOKENS)))
    tl.debug_barrier()
    if CROSS:
        C = window_conv(scratch + LENGTH * (D + 32) + t * 16 + n, t, inside, pe + n * 9, 16, WINDOW, False)
        tl.store(scratch + t * (D + 32) + D + 16 + n, C, mask=inside)
        tl.debug_barrier()


@triton.jit
def chunks(scratch, start, LENGTH: tl.constexpr, TOKENS: tl.constexpr, CHUNK: tl.constexpr, HEADS: tl.constexpr,
           PADDED: tl.constexpr, TOGETHER: tl.constexpr):  # fmt: skip
    """u, B, C (TOGETHER·heads, tokens, 16) of chunks from `start` on, steps and running sums (…, tokens), and their
    last."""
    D: tl.constexpr = HEADS * 16
    batch = tl.arange(0, TOGETHER * PADDED)
    head, first = batch % PADDED, start + batch // PADDED * CHUNK
    token = first[:, None] + tl.arange(0, CHUNK)[None, :]
    p = tl.arange(0, 16)[None, None, :]
    inside = (token < LENGTH)[:, :, None] & (p < 16)
    at = scratch + token[:, :, None] * (D + 32) + p
    u = tl.load(at + head[:, None, None] * 16, mask=inside & (head < HEADS)[:, None, None], other=0.0)
    B = tl.load(at + D, mask=inside, other=0.0)
    C = tl.load(at + D + 16, mask=inside, other=0.0)
    steps = scratch + LENGTH * (D + 48) + head * TOKENS
    totals = steps + PADDED * TOKENS
    step, total = tl.load(steps[:, None] + token), tl.load(totals[:, None] + token)
    return u, B, C, step, total, tl.load(totals + first + CHUNK - 1)


@triton.jit
def passed_on(state, decay, added, PADDED: tl.constexpr, TOGETHER: tl.constexpr, REVERSE: tl.constexpr):
    """The states before chunks that decay (TOGETHER·heads,) and add (TOGETHER·heads, 16, 16) so much, the first being
    `state` (heads, 16, 16), and the state after the last. REVERSE: from the last chunk to the first."""
    if TOGETHER == 1:
        before, state = state, state * decay[:, None, None] + added
    else:
        added = tl.reshape(added, (TOGETHER, PADDED, 16, 16))
        decay = tl.reshape(decay, (TOGETHER, PADDED))
        before = tl.zeros((TOGETHER, PADDED, 16, 16), tl.float32)
        for i in tl.static_range(TOGETHER):
            this = tl.arange(0, TOGETHER) == (TOGETHER - 1 - i if REVERSE else i)
            before = tl.where(this[:, None, None, None], state[None, :, :, :], before)
            own = tl.sum(tl.where(this[:, None], decay, 0.0), 0)
            state = state * own[:, None, None] + tl.sum(tl.where(this[:, None, None, None], added, 0.0), 0)
        before = tl.reshape(before, (TOGETHER * PADDED, 16, 16))
    return before, state


@triton.jit
def over_heads(v, PADDED: tl.constexpr, TOGETHER: tl.constexpr):
    """(TOGETHER·heads, tokens): the sum over the heads of the same chunk."""
    CHUNK: tl.constexpr = v.shape[1]
    total = tl.sum(tl.reshape(v, (TOGETHER, PADDED, CHUNK)), 1)[:, None, :]
    return tl.reshape(tl.broadcast_to(total, (TOGETHER, PADDED, CHUNK)), (TOGETHER * PADDED, CHUNK))


@triton.jit
def decays(total, CHUNK: tl.constexpr):
    """(heads, t, s): the decay from token s to t of the chunk, 0 where s is later."""
    t = tl.arange(0, CHUNK)
    seen = (t[:, None] >= t[None, :])[None, :, :]
    return exp2(tl.where(seen, total[:, :, None] - total[:, None, :], float('-inf')))


@triton.jit
def turned(x):
    return tl.permute(x, (0, 2, 1))
