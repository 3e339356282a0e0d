"""What the stages of the forward and the backward pass share, and the stages that both begin with.

Every stage is a launch of small programs, one for each chunk of tokens of each window: the recurrence is left to
`pass_states` alone, and many programs wait for memory at a time. Between the stages lies scratch memory, of a window in
float32: (LENGTH, D + 32) values u, B, C as the scan takes them; (LENGTH, 16) C before `pe`; (2, PADDED, TOKENS) steps
and, within each chunk, running sums of step·A; (CHUNKS, PADDED, 16, 16) states.

In a chunk, the heads are the batch of every matrix product: tensors are (heads, tokens, 16). A head's size and its
number of states are both 16. Exponents of decays come times log2(e).
"""

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _a_jit_function():
    pass


if isinstance(_a_jit_function, triton.JITFunction):

    @triton.jit
    def exp2(x):
        return tl.inline_asm_elementwise('ex2.approx.ftz.f32 $0, $1;', '=r,r', [x], tl.float32, is_pure=True, pack=1)

    @triton.jit
    def reciprocal(x):
        return tl.inline_asm_elementwise('rcp.approx.ftz.f32 $0, $1;', '=r,r', [x], tl.float32, is_pure=True, pack=1)

else:  # the interpreter knows no PTX

    @triton.jit
    def exp2(x):
        return tl.exp2(x)

    @triton.jit
    def reciprocal(x):
        return 1.0 / x


@triton.jit
def sigmoid(x):
    return reciprocal(1.0 + exp2(x * -LOG2E))


@triton.jit
def silu_slope(x):
    gate = sigmoid(x)
    return gate * (1.0 + x * (1.0 - gate))


@triton.jit
def softplus(x):
    power = exp2(tl.minimum(x, 20.0) * LOG2E)
    more = 1.0 + power
    # log(1 + power) with the digits that the sum lost given back
    small = tl.where(more == 1.0, power, tl.log(more) * power / tl.where(more == 1.0, 1.0, more - 1.0))
    return tl.where(x > 20.0, x, small)


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
def tokens_of(chunk, CHUNK: tl.constexpr, LENGTH: tl.constexpr, HEADS: tl.constexpr, PADDED: tl.constexpr):
    """Heads (heads, 1, 1), tokens (1, tokens, 1), numbers (1, 1, 16), which of them there are, and cells of a state."""
    head, t = tl.arange(0, PADDED)[:, None, None], chunk * CHUNK + tl.arange(0, CHUNK)[None, :, None]
    p = tl.arange(0, 16)[None, None, :]
    inside = (t < LENGTH) & (head < HEADS) & (p < 16)
    cell = ((chunk * PADDED + head) * 16 + tl.arange(0, 16)[None, :, None]) * 16 + p
    return head, t, p, inside, cell


@triton.jit
def times_of(scratch, chunk, LENGTH: tl.constexpr, TOKENS: tl.constexpr, CHUNK: tl.constexpr, D: tl.constexpr,
             PADDED: tl.constexpr):  # fmt: skip
    """Steps and running sums (heads, tokens) of a chunk, and the last sums (heads,)."""
    head = tl.arange(0, PADDED)
    at = scratch + LENGTH * (D + 48) + head * TOKENS + chunk * CHUNK
    token = tl.arange(0, CHUNK)[None, :]
    step, total = tl.load(at[:, None] + token), tl.load(at[:, None] + PADDED * TOKENS + token)
    return step, total, tl.load(at + PADDED * TOKENS + CHUNK - 1)


@triton.jit
def begin(
    projected, readout, scratch, conv_weight, conv_bias, readout_weight, readout_bias, dt_bias, a_log,
    projected_batch, readout_batch,
    ROW: tl.constexpr, READOUT_ROW: tl.constexpr, SCRATCH: tl.constexpr, LENGTH: tl.constexpr, TOKENS: tl.constexpr,
    CHUNK: tl.constexpr, HEADS: tl.constexpr, PADDED: tl.constexpr, CROSS: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """(windows, chunks): convolutions, SiLU, the steps, and what the chunk adds to the state."""
    D: tl.constexpr = HEADS * 16
    CONVOLVED: tl.constexpr = D + (16 if CROSS else 32)
    program, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    projected += program * projected_batch
    scratch += program * SCRATCH
    t, n = chunk * CHUNK + tl.arange(0, CHUNK)[:, None], tl.arange(0, 16)[None, :]
    inside = (t < LENGTH) & (n < 16)
    if CROSS:
        readout += program * readout_batch
        y = short_conv(readout + t * READOUT_ROW + n, t, inside, READOUT_ROW, readout_weight + n * 3, readout_bias + n)
        tl.store(scratch + LENGTH * (D + 32) + t * 16 + n, y * sigmoid(y), mask=inside)
    for block in tl.static_range(CONVOLVED // 16):
        c = block * 16 + n
        x = short_conv(projected + D + t * ROW + c, t, inside, ROW, conv_weight + c * 3, conv_bias + c)
        tl.store(scratch + t * (D + 32) + c, x * sigmoid(x), mask=inside)

    head, token = tl.arange(0, PADDED)[:, None], tl.arange(0, CHUNK)[None, :]
    known = (head < HEADS) & (chunk * CHUNK + token < LENGTH)
    raw = number(projected + D + CONVOLVED + (chunk * CHUNK + token) * ROW + head, known)
    step = tl.where(known, softplus(raw + number(dt_bias + head, head < HEADS)), 0.0)
    power = step * (-LOG2E * tl.exp(number(a_log + head, head < HEADS)))
    times = scratch + LENGTH * (D + 48) + head * TOKENS + chunk * CHUNK + token
    tl.store(times, step)
    tl.store(times + PADDED * TOKENS, tl.cumsum(power, 1))
    tl.debug_barrier()

    head, t, p, inside, cell = tokens_of(chunk, CHUNK, LENGTH, HEADS, PADDED)
    step, total, last = times_of(scratch, chunk, LENGTH, TOKENS, CHUNK, D, PADDED)
    u = tl.load(scratch + t * (D + 32) + head * 16 + p, mask=inside, other=0.0)
    B = tl.load(scratch + t * (D + 32) + D + p + head * 0, mask=inside, other=0.0)
    added = product(turned(B), u * (step * exp2(last[:, None] - total))[:, :, None], EXACT)
    tl.store(scratch + LENGTH * (D + 48) + 2 * PADDED * TOKENS + cell, added)


@triton.jit
def pass_states(scratch, states, SCRATCH: tl.constexpr, LENGTH: tl.constexpr, TOKENS: tl.constexpr,
                CHUNK: tl.constexpr, D: tl.constexpr, PADDED: tl.constexpr, REVERSE: tl.constexpr):  # fmt: skip
    """(windows, heads): replaces what each chunk adds to the state by the state that comes to it."""
    head, i = tl.program_id(1), tl.arange(0, 256)
    scratch += tl.program_id(0).to(tl.int64) * SCRATCH
    states = scratch + states + head * 256 + i
    last = scratch + LENGTH * (D + 48) + (PADDED + head) * TOKENS + CHUNK - 1
    CHUNKS: tl.constexpr = TOKENS // CHUNK
    state = tl.zeros((256,), tl.float32)
    added = tl.load(states + ((CHUNKS - 1) if REVERSE else 0) * PADDED * 256)
    for step in tl.static_range(CHUNKS):
        k = CHUNKS - 1 - step if REVERSE else step
        now = added
        if step + 1 < CHUNKS:  # while the store waits
            added = tl.load(states + (k - 1 if REVERSE else k + 1) * PADDED * 256)
        tl.store(states + k * PADDED * 256, state)
        state = state * exp2(tl.load(last + k * CHUNK)) + now


@triton.jit
def over_heads(x):
    """The sum over heads and numbers, for every token."""
    return tl.sum(tl.sum(x, 2), 0)[None, :, None]


@triton.jit
def values(scratch, pe, chunk, head, t, p, inside, CHUNK: tl.constexpr, LENGTH: tl.constexpr, WINDOW: tl.constexpr,
           D: tl.constexpr):  # fmt: skip
    """u, B, C (heads, tokens, 16), with C through `pe` first if there is a WINDOW."""
    if WINDOW > 0:
        token, n = chunk * CHUNK + tl.arange(0, CHUNK)[:, None], tl.arange(0, 16)[None, :]
        there = (token < LENGTH) & (n < 16)
        C = window_conv(scratch + LENGTH * (D + 32) + token * 16 + n, token, there, pe + n * 9, 16, WINDOW, False)
        tl.store(scratch + token * (D + 32) + D + 16 + n, C, mask=there)
        tl.debug_barrier()
    row = scratch + t * (D + 32) + p + head * 0
    u = tl.load(row + head * 16, mask=inside, other=0.0)
    return u, tl.load(row + D, mask=inside, other=0.0), tl.load(row + D + 16, mask=inside, other=0.0)


@triton.jit
def decays(total, CHUNK: tl.constexpr):
    """(heads, t, s): the decay from token s to t of the chunk, 0 where s is later."""
    t = tl.arange(0, CHUNK)
    seen = (t[:, None] >= t[None, :])[None, :, :]
    return exp2(tl.where(seen, total[:, :, None] - total[:, None, :], float('-inf')))


@triton.jit
def leading(x):
    """x without the digits that TF32 drops."""
    return (x.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)


@triton.jit
def product(a, b, EXACT: tl.constexpr):
    """a·b in TF32. EXACT: in float32, as three products of TF32 numbers; Triton's own three also look for NaNs."""
    if EXACT:
        a_first, b_first = leading(a), leading(b)
        y = tl.dot(a - a_first, b_first, input_precision='tf32')
        y = tl.dot(a_first, b - b_first, acc=y, input_precision='tf32')
        return tl.dot(a_first, b_first, acc=y, input_precision='tf32')
    return tl.dot(a, b, input_precision='tf32')


@triton.jit
def turned(x):
    return tl.permute(x, (0, 2, 1))
