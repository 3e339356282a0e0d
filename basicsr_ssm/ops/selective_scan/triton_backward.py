"""Backward kernels of the selective scan.

Gradients of the states, g_t = C_t·dy_t + a_{t+1}·g_{t+1} with a_t = exp(δ_t·A), pass over the chunks as the states do.
Then a program walks back through a chunk, and needs the states in that order: they are computed anew, from those kept
before every group of tokens, to those before every few tokens, to all of these few, which fit the registers. No
difference of states is ever taken, so what has been forgotten has small gradients and not noise.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops import triton_types
from basicsr_ssm.ops.selective_scan.triton_steps import VARYING, column, fetch, row
from basicsr_ssm.ops.triton_math import LOG2E, sigmoid, softplus


@triton.jit
def over_channels(v, HALVINGS: tl.constexpr):
    """(states, 1): the sum over channels. Each halving also halves what a lane holds, unlike `tl.sum`, whose every step
    exchanges all states: 16 exchanges instead of 80."""
    for _ in tl.static_range(HALVINGS):
        even, odd = tl.split(tl.reshape(v, [v.shape[0], v.shape[1] // 2, 2]))
        v = even + odd
    return tl.sum(v, 1, keep_dims=True)


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
    length, channels, states_in_use, chunks, blocks, reverse, groups,
    delta_b, delta_l, u_b, u_l, B_b, B_l,
    N: tl.constexpr, BLOCK: tl.constexpr, CHUNK: triton_types.LOOP_LENGTH, GROUP: tl.constexpr, SOFTPLUS: tl.constexpr,
    BIAS: tl.constexpr, PADDED: tl.constexpr, FETCH: tl.constexpr,
):  # fmt: skip
    """The state before every group of tokens of one direction."""
    block, item, chunk = tl.program_id(0) % blocks, tl.program_id(0) // blocks, tl.program_id(1)
    n = tl.arange(0, N)[:, None]
    c = block * BLOCK + tl.arange(0, BLOCK)[None, :]
    on = c < channels
    n_on = n < states_in_use

    first = chunk * CHUNK
    count = tl.minimum(length - first, CHUNK)
    way = 1 - 2 * reverse
    start = (first + reverse * (count - 1)).to(tl.int64)
    u += item.to(tl.int64) * u_b + start * u_l
    delta += item.to(tl.int64) * delta_b + start * delta_l
    B += item.to(tl.int64) * B_b + start * B_l
    u_l, delta_l, B_l = u_l * way, delta_l * way, B_l * way
    rates = tl.load(A + c * states_in_use + n, mask=on & n_on, other=0.0) * LOG2E
    shift = tl.load(bias + c, mask=on, other=0.0) if BIAS else 0.0

    width = blocks * BLOCK
    before = chunk - way
    known = tl.where((before >= 0) & (before < chunks), N, 0)
    place = (item.to(tl.int64) * chunks + before) * N * width
    h = tl.load(states + place + n * width + c, mask=(n < known) & (c >= 0), other=0.0)
    kept += (item.to(tl.int64) * chunks + chunk) * groups * N * width + n * width + c
    next_step, next_x, next_b = row(delta + c, on), row(u + c, on), column(B + n, n_on, PADDED)
    for i in range(0, CHUNK, GROUP):
        if FETCH > 0:
            fetch(delta, i + FETCH, count, delta_l, block * BLOCK, channels, GROUP, BLOCK)
            fetch(u, i + FETCH, count, u_l, block * BLOCK, channels, GROUP, BLOCK)
            fetch(B, i + FETCH, count, B_l, 0, states_in_use, GROUP, N)
        tl.store(kept, h)
        kept += N * width
        for j in tl.static_range(GROUP):
            t = tl.minimum(i + j + 1, count - 1)
            step, x, b = next_step, next_x, next_b
            next_step, next_x = row(delta + t * delta_l + c, on), row(u + t * u_l + c, on)
            next_b = column(B + t * B_l + n, n_on, PADDED)
            step += shift
            if SOFTPLUS:
                step = softplus(step)
            h = tl.exp2(step * rates) * h + (step * x) * b


@triton.jit(do_not_specialize=VARYING)
def chunk_slopes(
    delta, u, B, C, dy, A, D, bias, kept, slopes, du, ddelta, dB, dC, dA, dD, dbias,
    length, channels, states_in_use, chunks, blocks, reverse, groups, parts,
    delta_b, delta_l, u_b, u_l, B_b, B_l, C_b, C_l, dy_b, dy_l,
    N: tl.constexpr, BLOCK: tl.constexpr, CHUNK: triton_types.LOOP_LENGTH, GROUP: tl.constexpr, FEW: tl.constexpr,
    HALVINGS: tl.constexpr, SOFTPLUS: tl.constexpr, BIAS: tl.constexpr, SKIP: tl.constexpr, ADD: tl.constexpr,
    PADDED: tl.constexpr, FETCH: tl.constexpr,
):  # fmt: skip
    """Gradients of one direction, from the last token of a chunk to its first. ADD: to what is in du and ddelta."""
    block, item, chunk = tl.program_id(0) % blocks, tl.program_id(0) // blocks, tl.program_id(1)
    n = tl.arange(0, N)[:, None]
    c = block * BLOCK + tl.arange(0, BLOCK)[None, :]
    on = c < channels
    n_on = n < states_in_use

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
    part = ((item.to(tl.int64) * parts + block) * length + start) * N + n
    du += out
    ddelta += out
    dB += part
    dC += part
    u_l, delta_l, dy_l, B_l, C_l = u_l * way, delta_l * way, dy_l * way, B_l * way, C_l * way
    out_l, part_l = channels * way, N * way
    rates = tl.load(A + c * states_in_use + n, mask=on & n_on, other=0.0) * LOG2E
    shift = tl.load(bias + c, mask=on, other=0.0) if BIAS else 0.0
    skip = tl.load(D + c, mask=on, other=0.0) if SKIP else 0.0

    width = blocks * BLOCK
    after = chunk + way
    known = tl.where((after >= 0) & (after < chunks), N, 0)
    place = (item.to(tl.int64) * chunks + after) * N * width
    g = tl.load(slopes + place + n * width + c, mask=(n < known) & (c >= 0), other=0.0)
    place = item.to(tl.int64) * chunks + chunk
    kept += (place * groups + groups - 1) * N * width + n * width + c

    sum_A = tl.zeros([N, BLOCK], tl.float32)
    sum_D = tl.zeros([1, BLOCK], tl.float32)
    sum_bias = tl.zeros([1, BLOCK], tl.float32)
    for i in range(0, CHUNK, GROUP):
        base = groups * GROUP - GROUP - i
        if FETCH > 0:
            fetch(delta, base - GROUP, count, delta_l, block * BLOCK, channels, GROUP, BLOCK)
            fetch(u, base - GROUP, count, u_l, block * BLOCK, channels, GROUP, BLOCK)
            fetch(dy, base - GROUP, count, dy_l, block * BLOCK, channels, GROUP, BLOCK)
            fetch(B, base - GROUP, count, B_l, 0, states_in_use, GROUP, N)
            fetch(C, base - GROUP, count, C_l, 0, states_in_use, GROUP, N)
        h = tl.load(kept)
        kept -= N * width
        starts = (h,)
        for j in tl.static_range(GROUP - FEW):
            t = tl.minimum(base + j, count - 1)
            step = row(delta + t * delta_l + c, on) + shift
            if SOFTPLUS:
                step = softplus(step)
            step = tl.where(base + j < count, step, 0.0)
            b = column(B + t * B_l + n, n_on, PADDED)
            h = tl.exp2(step * rates) * h + (step * row(u + t * u_l + c, on)) * b
            if j % FEW == FEW - 1:
                starts = starts + (h,)
        for s in tl.static_range(GROUP // FEW):
            # all loads before all stores: the compiler moves none past a store
            few = base + GROUP - FEW - s * FEW
            h = starts[GROUP // FEW - 1 - s]
            befores, decays, steps, factors, xs, ys = (), (), (), (), (), ()
            dBs, dCs, dus, ddeltas = (), (), (), ()
            for j in tl.static_range(FEW):
                t = tl.minimum(few + j, count - 1)
                x, slope = row(u + t * u_l + c, on), row(dy + t * dy_l + c, on)
                step = row(delta + t * delta_l + c, on) + shift
                factor = tl.full([1, BLOCK], 1.0, tl.float32)
                if SOFTPLUS:
                    factor = sigmoid(step)
                    step = softplus(step)
                step = tl.where(few + j < count, step, 0.0)
                slope = tl.where(few + j < count, slope, 0.0)
                decay = tl.exp2(step * rates)
                befores, decays, steps = befores + (h,), decays + (decay,), steps + (step,)
                factors, xs, ys = factors + (factor,), xs + (x,), ys + (slope,)
                h = decay * h + (step * x) * column(B + t * B_l + n, n_on, PADDED)
                dCs = dCs + (over_channels(h * slope, HALVINGS),)
            for k in tl.static_range(FEW):
                t = tl.minimum(few + FEW - 1 - k, count - 1)
                step, x, slope = steps[FEW - 1 - k], xs[FEW - 1 - k], ys[FEW - 1 - k]
                g += slope * column(C + t * C_l + n, n_on, PADDED)
                dBs = dBs + (over_channels(g * (step * x), HALVINGS),)
                dx = tl.sum(g * column(B + t * B_l + n, n_on, PADDED), 0, keep_dims=True)
                g = decays[FEW - 1 - k] * g
                q = g * befores[FEW - 1 - k]  # the gradient of the exponent
                sum_A += q * step
                dstep = x * dx + tl.sum(q * rates, 0, keep_dims=True) * (1.0 / LOG2E)
                dstep *= factors[FEW - 1 - k]
                dstep = tl.where(few + FEW - 1 - k < count, dstep, 0.0)
                sum_D += slope * x
                sum_bias += dstep
                dus, ddeltas = dus + (dx * step + skip * slope,), ddeltas + (dstep,)
            for j in tl.static_range(FEW):
                t = tl.minimum(few + j, count - 1)
                live = n < tl.where(few + j < count, N, 0)
                tl.store(dC + t * part_l, dCs[j], mask=live)
                tl.store(dB + t * part_l, dBs[FEW - 1 - j], mask=live)
                live = c < tl.where(few + j < count, channels, 0)
                dx, dstep = dus[FEW - 1 - j], ddeltas[FEW - 1 - j]
                if ADD:
                    dx += tl.load(du + t * out_l, mask=live, other=0.0)
                    dstep += tl.load(ddelta + t * out_l, mask=live, other=0.0)
                tl.store(du + t * out_l, dx, mask=live)
                tl.store(ddelta + t * out_l, dstep, mask=live)
    tl.store(dA + place * N * width + n * width + c, sum_A)
    if SKIP:
        tl.store(dD + place * width + c, sum_D)
    if BIAS:
        tl.store(dbias + place * width + c, sum_bias)
