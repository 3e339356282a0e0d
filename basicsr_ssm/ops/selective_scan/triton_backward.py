"""Backward kernels of the selective scan.

Gradients of the states, g_t = C_t·dy_t + a_{t+1}·g_{t+1} with a_t = exp(δ_t·A), pass over the chunks as the states do.
Then a program walks back through a chunk, and needs the states in that order: they are computed anew, from those kept
before every group of tokens, to those before every few tokens, to all of these few, which fit the registers. No
difference of states is ever taken, so what has been forgotten has small gradients and not noise.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops import triton_types
from basicsr_ssm.ops.selective_scan.triton_steps import VARYING, advance, fetch, fetch_vectors
from basicsr_ssm.ops.triton_math import LOG2E, exp2, sigmoid, softplus
from basicsr_ssm.ops.triton_rows import dot, four, nothing, row, rows, store_rows, times, vector
from basicsr_ssm.ops.triton_types import ON_GPU


@triton.jit
def _state(i, lane, P: tl.constexpr):
    """Which state a lane has as its number i: it begins with the quad that `over_channels` shall leave it, the others
    follow in the order in which they are exchanged."""
    return 4 * ((i // 4) ^ (lane // (128 // P))) + i % 4


if ON_GPU:

    @triton.jit
    def _from_lane(v, distance):
        """What the lane has whose number differs in one bit."""
        return tl.inline_asm_elementwise(
            'shfl.sync.bfly.b32 $0, $1, $2, 31, -1;', '=r,r,r', [v, distance], tl.float32, is_pure=True, pack=1
        )

    @triton.jit
    def over_channels(v, lane, P: tl.constexpr):
        """Sums over the 32 channels of every warp, (channels,): that of state i in lanes i·32/P and following.

        Every exchange also halves what a lane holds, 16 exchanges for 16 states instead of 80; and as long as it goes
        by quads, what a lane keeps is always in front, see `_state`.
        """
        for k in tl.static_range(5):
            distance, halves = 16 >> k, ()
            if P >> k > 4:
                for i in tl.static_range(P >> (k + 1)):
                    halves = halves + (v[i] + _from_lane(v[i + (P >> (k + 1))], distance),)
            elif P >> k > 1:
                upper = (lane & distance) != 0
                for i in tl.static_range(P >> (k + 1)):
                    given = tl.where(upper, v[i], v[i + (P >> (k + 1))])
                    halves = halves + (tl.where(upper, v[i + (P >> (k + 1))], v[i]) + _from_lane(given, distance),)
            else:
                halves = (v[0] + _from_lane(v[0], distance),)
            v = halves
        return v[0]

else:  # the interpreter knows no lanes

    @triton.jit
    def over_channels(v, lane, P: tl.constexpr):
        total = lane * 0.0
        for n in tl.static_range(P):
            one = lane * 0.0
            for i in tl.static_range(P):
                one += tl.where(_state(i, lane, P) == n, v[i], 0.0)
            one = tl.reshape(one, [lane.shape[0] // 32, 32])
            one = tl.reshape(tl.broadcast_to(tl.sum(one, 1, keep_dims=True), one.shape), lane.shape)
            total = tl.where(lane // (32 // P) == n, one, total)
        return total


@triton.jit
def quads(at, stride, lane, on, N: tl.constexpr, P: tl.constexpr):
    """P of N numbers, `stride` apart, in the order of `_state`."""
    out = ()
    for i in tl.static_range(P):
        n = _state(i, lane, P)
        out = out + (row(at + n * stride, on & (n < N) if P > N else on),)
    return out


@triton.jit
def store_quads(at, stride, lane, v, N: tl.constexpr, P: tl.constexpr):
    for i in tl.static_range(P):
        n = _state(i, lane, P)
        tl.store(at + n * stride, v[i], mask=n < N)


@triton.jit
def vector_quads(at, lane, N: tl.constexpr, P: tl.constexpr, ALIGNED: tl.constexpr):
    """A token's B or C in the order of `_state`."""
    if not ALIGNED or P > N:
        return quads(at, 1, lane, lane >= 0, N, P)
    out = ()
    for i in tl.static_range(0, P, 4):
        out = out + four(at + _state(i, lane, P))
    return out


@triton.jit(do_not_specialize=VARYING)
def gate_slopes(
    dy, z, ungated, dy_ungated, dz, length, channels, total, dy_b, dy_l, z_b, z_l, BLOCK: tl.constexpr
):  # fmt: skip
    """Gradients of y·silu(z)."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    on = at < total
    c = at % channels
    t = at // channels
    item, t = t // length, t % length
    dy = tl.load(dy + item * dy_b + t * dy_l + c, mask=on, other=0.0).to(tl.float32)
    z = tl.load(z + item * z_b + t * z_l + c, mask=on, other=0.0).to(tl.float32)
    out = tl.load(ungated + at, mask=on, other=0.0).to(tl.float32)
    s = sigmoid(z)
    tl.store(dy_ungated + at, dy * z * s, mask=on)
    tl.store(dz + at, dy * out * s * (1.0 + z * (1.0 - s)), mask=on)


@triton.jit(do_not_specialize=VARYING)
def group_states(
    delta, u, B, A, bias, states, kept,
    length, channels, chunks, blocks, reverse, groups,
    delta_b, delta_l, u_b, u_l, B_b, B_l,
    N: tl.constexpr, BLOCK: tl.constexpr, CHUNK: triton_types.LOOP_LENGTH, GROUP: tl.constexpr, SOFTPLUS: tl.constexpr,
    BIAS: tl.constexpr, ALIGNED: tl.constexpr, FETCH: tl.constexpr,
):  # fmt: skip
    """The state before every group of tokens of one direction."""
    block, item, chunk = tl.program_id(0) % blocks, tl.program_id(0) // blocks, tl.program_id(1)
    c = block * BLOCK + tl.arange(0, BLOCK)
    on = c < channels

    first = chunk * CHUNK
    count = tl.minimum(length - first, CHUNK)
    way = 1 - 2 * reverse
    start = (first + reverse * (count - 1)).to(tl.int64)
    u += item.to(tl.int64) * u_b + start * u_l
    delta += item.to(tl.int64) * delta_b + start * delta_l
    B += item.to(tl.int64) * B_b + start * B_l
    u_l, delta_l, B_l = u_l * way, delta_l * way, B_l * way
    rates = times(rows(A + c * N, 1, on, N), LOG2E, N)
    shift = tl.load(bias + c, mask=on, other=0.0) if BIAS else 0.0

    width = blocks * BLOCK
    before = chunk - way
    known = tl.where((before >= 0) & (before < chunks), width, 0)
    h = rows(states + (item.to(tl.int64) * chunks + before) * N * width + c, width, c < known, N)
    kept += (item.to(tl.int64) * chunks + chunk) * groups * N * width + c
    next_step, next_x, next_b = row(delta + c, on), row(u + c, on), vector(B, N, ALIGNED)
    for i in range(0, CHUNK, GROUP):
        if FETCH > 0:
            fetch(delta, i + FETCH, count, delta_l, block * BLOCK, channels, GROUP, BLOCK)
            fetch(u, i + FETCH, count, u_l, block * BLOCK, channels, GROUP, BLOCK)
            fetch_vectors(B, i + FETCH, count, B_l, N, GROUP)
        store_rows(kept, width, h, N)
        kept += N * width
        for j in tl.static_range(GROUP):
            t = tl.minimum(i + j + 1, count - 1)
            step, x, b = next_step, next_x, next_b
            next_step, next_x = row(delta + t * delta_l + c, on), row(u + t * u_l + c, on)
            next_b = vector(B + t * B_l, N, ALIGNED)
            step += shift
            if SOFTPLUS:
                step = softplus(step)
            h = advance(h, step, x, b, rates, N)


@triton.jit(do_not_specialize=VARYING)
def chunk_slopes(
    delta, u, B, C, dy, A, D, bias, kept, slopes, du, ddelta, dB, dC, dA, dD, dbias,
    length, channels, chunks, blocks, reverse, groups, parts,
    delta_b, delta_l, u_b, u_l, B_b, B_l, C_b, C_l, dy_b, dy_l,
    N: tl.constexpr, P: tl.constexpr, CHUNK: triton_types.LOOP_LENGTH, GROUP: tl.constexpr, FEW: tl.constexpr,
    SOFTPLUS: tl.constexpr, BIAS: tl.constexpr, SKIP: tl.constexpr, ADD: tl.constexpr,
    ALIGNED: tl.constexpr, FETCH: tl.constexpr, WARPS: tl.constexpr,
):  # fmt: skip
    """Gradients of one direction, from the last token of a chunk to its first. ADD: to what is in du and ddelta.

    A lane has one channel; a warp sums dB and dC over its 32. P is N up to a power of two, 4 at least.
    """
    block, item, chunk = tl.program_id(0) % blocks, tl.program_id(0) // blocks, tl.program_id(1)
    BLOCK: tl.constexpr = 32 * WARPS
    c = block * BLOCK + tl.arange(0, BLOCK)
    lane = c % 32
    on = c < channels

    first = chunk * CHUNK
    count = tl.minimum(length - first, CHUNK)
    way = 1 - 2 * reverse
    start = (first + reverse * (count - 1)).to(tl.int64)
    u += item.to(tl.int64) * u_b + start * u_l
    delta += item.to(tl.int64) * delta_b + start * delta_l
    dy += item.to(tl.int64) * dy_b + start * dy_l
    B += item.to(tl.int64) * B_b + start * B_l
    C += item.to(tl.int64) * C_b + start * C_l
    out = (item.to(tl.int64) * length + start) * channels + c
    state = lane // (32 // P)
    part = ((item.to(tl.int64) * parts + c // 32) * length + start) * N + state
    du += out
    ddelta += out
    dB += part
    dC += part
    u_l, delta_l, dy_l, B_l, C_l = u_l * way, delta_l * way, dy_l * way, B_l * way, C_l * way
    out_l, part_l = channels * way, N * way
    rates = times(quads(A + c * N, 1, lane, on, N, P), LOG2E, P)
    shift = tl.load(bias + c, mask=on, other=0.0) if BIAS else 0.0
    skip = tl.load(D + c, mask=on, other=0.0) if SKIP else 0.0

    width = blocks * BLOCK
    after = chunk + way
    known = tl.where((after >= 0) & (after < chunks), width, 0)
    g = quads(slopes + (item.to(tl.int64) * chunks + after) * N * width + c, width, lane, c < known, N, P)
    place = item.to(tl.int64) * chunks + chunk
    kept += (place * groups + groups - 1) * N * width + c

    sum_A = nothing(BLOCK, P)
    sum_D = tl.zeros([BLOCK], tl.float32)
    sum_bias = tl.zeros([BLOCK], tl.float32)
    for i in range(0, CHUNK, GROUP):
        base = groups * GROUP - GROUP - i
        if FETCH > 0:
            fetch(delta, base - GROUP, count, delta_l, block * BLOCK, channels, GROUP, BLOCK)
            fetch(u, base - GROUP, count, u_l, block * BLOCK, channels, GROUP, BLOCK)
            fetch(dy, base - GROUP, count, dy_l, block * BLOCK, channels, GROUP, BLOCK)
            fetch_vectors(B, base - GROUP, count, B_l, N, GROUP)
            fetch_vectors(C, base - GROUP, count, C_l, N, GROUP)
        h = quads(kept, width, lane, c >= 0, N, P)
        kept -= N * width
        starts = h  # of the group and of every few tokens, one after the other
        for j in tl.static_range(GROUP - FEW):
            t = tl.minimum(base + j, count - 1)
            step = row(delta + t * delta_l + c, on) + shift
            if SOFTPLUS:
                step = softplus(step)
            step = tl.where(base + j < count, step, 0.0)
            b = vector_quads(B + t * B_l, lane, N, P, ALIGNED)
            h = advance(h, step, row(u + t * u_l + c, on), b, rates, P)
            if j % FEW == FEW - 1:
                starts = starts + h
        for s in tl.static_range(GROUP // FEW):
            # all loads before all stores: the compiler moves none past a store
            few = base + GROUP - FEW - s * FEW
            befores, decays, steps, factors, xs, ys = (), (), (), (), (), ()
            dBs, dCs, dus, ddeltas = (), (), (), ()
            for n in tl.static_range(P):
                befores = befores + (starts[(GROUP // FEW - 1 - s) * P + n],)
            for j in tl.static_range(FEW):
                t = tl.minimum(few + j, count - 1)
                x, slope = row(u + t * u_l + c, on), row(dy + t * dy_l + c, on)
                step = row(delta + t * delta_l + c, on) + shift
                factor = tl.full([BLOCK], 1.0, tl.float32)
                if SOFTPLUS:
                    factor = sigmoid(step)
                    step = softplus(step)
                step = tl.where(few + j < count, step, 0.0)
                slope = tl.where(few + j < count, slope, 0.0)
                steps, factors, xs, ys = steps + (step,), factors + (factor,), xs + (x,), ys + (slope,)
                b, pushed, products = vector_quads(B + t * B_l, lane, N, P, ALIGNED), step * x, ()
                for n in tl.static_range(P):
                    decay = exp2(step * rates[n])
                    h = decay * befores[j * P + n] + pushed * b[n]
                    decays, befores, products = decays + (decay,), befores + (h,), products + (h * slope,)
                dCs = dCs + (over_channels(products, lane, P),)
            for k in tl.static_range(FEW):
                t = tl.minimum(few + FEW - 1 - k, count - 1)
                step, x, slope = steps[FEW - 1 - k], xs[FEW - 1 - k], ys[FEW - 1 - k]
                b, cc = vector_quads(B + t * B_l, lane, N, P, ALIGNED), vector_quads(C + t * C_l, lane, N, P, ALIGNED)
                pushed = step * x
                gs, products, qs, sums = (), (), (), ()
                for n in tl.static_range(P):
                    gs = gs + (g[n] + slope * cc[n],)
                for n in tl.static_range(P):
                    products = products + (gs[n] * pushed,)
                dBs = dBs + (over_channels(products, lane, P),)
                dx = dot(gs, b, P)
                g = ()
                for n in tl.static_range(P):
                    g = g + (decays[(FEW - 1 - k) * P + n] * gs[n],)
                    q = g[n] * befores[(FEW - 1 - k) * P + n]  # the gradient of the exponent
                    qs, sums = qs + (q,), sums + (sum_A[n] + q * step,)
                sum_A = sums
                dstep = x * dx + dot(qs, rates, P) * (1.0 / LOG2E)
                dstep *= factors[FEW - 1 - k]
                dstep = tl.where(few + FEW - 1 - k < count, dstep, 0.0)
                sum_D += slope * x
                sum_bias += dstep
                dus, ddeltas = dus + (dx * step + skip * slope,), ddeltas + (dstep,)
            for j in tl.static_range(FEW):
                t = tl.minimum(few + j, count - 1)
                live = (lane % (32 // P) == 0) & (state < tl.where(few + j < count, N, 0))
                tl.store(dC + t * part_l, dCs[j], mask=live)
                tl.store(dB + t * part_l, dBs[FEW - 1 - j], mask=live)
                live = c < tl.where(few + j < count, channels, 0)
                dx, dstep = dus[FEW - 1 - j], ddeltas[FEW - 1 - j]
                if ADD:
                    dx += tl.load(du + t * out_l, mask=live, other=0.0)
                    dstep += tl.load(ddelta + t * out_l, mask=live, other=0.0)
                tl.store(du + t * out_l, dx, mask=live)
                tl.store(ddelta + t * out_l, dstep, mask=live)
    store_quads(dA + place * N * width + c, width, lane, sum_A, N, P)
    if SKIP:
        tl.store(dD + place * width + c, sum_D)
    if BIAS:
        tl.store(dbias + place * width + c, sum_bias)
