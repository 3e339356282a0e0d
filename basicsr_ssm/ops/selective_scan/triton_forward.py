"""Forward kernels of the selective scan: states of all chunks, their passing on, outputs of all chunks."""

import triton
import triton.language as tl

from basicsr_ssm.ops import triton_types
from basicsr_ssm.ops.selective_scan.triton_steps import VARYING, advance, advance_slope, fetch, fetch_vectors
from basicsr_ssm.ops.triton_math import LOG2E, sigmoid, softplus
from basicsr_ssm.ops.triton_rows import dot, nothing, row, rows, store_rows, times, vector


@triton.jit(do_not_specialize=VARYING)
def chunk_states(
    delta, u, B, A, bias, states, sums,
    batch, length, channels, chunks, blocks, reverse,
    delta_b, delta_l, u_b, u_l, B_b, B_l,
    N: tl.constexpr, BLOCK: tl.constexpr, CHUNK: triton_types.LOOP_LENGTH, SOFTPLUS: tl.constexpr, BIAS: tl.constexpr,
    BOTH: tl.constexpr, ADJOINT: tl.constexpr, ALIGNED: tl.constexpr,
    UNROLL: tl.constexpr, FETCH: tl.constexpr,
):  # fmt: skip
    """The state after each chunk from a state of zero, and the sum of its steps.

    ADJOINT: the same of the states' gradients, which run the other way, from C and dy in the place of B and u.
    """
    block, chunk = tl.program_id(0) % blocks, tl.program_id(1)
    scan = tl.program_id(0) // blocks  # direction, then sequence
    item = scan % batch
    reverse = scan // batch if BOTH else reverse
    if ADJOINT:
        reverse = 1 - reverse
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
    rates = times(rows(A + (scan // batch * channels + c) * N, 1, on, N), LOG2E, N)
    shift = tl.load(bias + c, mask=on, other=0.0).to(tl.float32) if BIAS else 0.0

    h = nothing(BLOCK, N)
    total = tl.zeros([BLOCK], tl.float32)
    next_step, next_x, next_b = row(delta + c, on), row(u + c, on), vector(B, N, ALIGNED)
    for i in range(0, CHUNK, UNROLL):
        if FETCH > 0:
            fetch(delta, i + FETCH, count, delta_l, block * BLOCK, channels, UNROLL, BLOCK)
            fetch(u, i + FETCH, count, u_l, block * BLOCK, channels, UNROLL, BLOCK)
            fetch_vectors(B, i + FETCH, count, B_l, N, UNROLL)
        for j in tl.static_range(UNROLL):
            t = tl.minimum(i + j + 1, count - 1)
            step, x, b = next_step, next_x, next_b
            next_step, next_x = row(delta + t * delta_l + c, on), row(u + t * u_l + c, on)
            next_b = vector(B + t * B_l, N, ALIGNED)
            step += shift
            if SOFTPLUS:
                step = softplus(step)
            step = tl.where(i + j < count, step, 0.0)  # past the end nothing changes
            if ADJOINT:
                x = tl.where(i + j < count, x, 0.0)
                h = advance_slope(h, step, x, b, rates, N)
            else:
                h = advance(h, step, x, b, rates, N)
            total += step
    place = (scan.to(tl.int64) * chunks + chunk) * blocks * BLOCK
    store_rows(states + place * N + c, blocks * BLOCK, h, N)
    tl.store(sums + place + c, total)


@triton.jit
def _then(decay, h, next_decay, next_h):
    return decay * next_decay, h * next_decay + next_h


@triton.jit(do_not_specialize=VARYING)
def pass_states(
    states, sums, A, batch, channels, chunks, width, reverse,
    N: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr, TILES: triton_types.LOOP_LENGTH,
    BOTH: tl.constexpr, ADJOINT: tl.constexpr,
):  # fmt: skip
    """Turns the state after each chunk from zero into the state after it."""
    block, scan, n = tl.program_id(0) % (width // BLOCK), tl.program_id(0) // (width // BLOCK), tl.program_id(1)
    reverse = scan // batch if BOTH else reverse
    if ADJOINT:
        reverse = 1 - reverse
    c = block * BLOCK + tl.arange(0, BLOCK)[None, :]
    rates = tl.load(A + (scan // batch * channels + c) * N + n, mask=c < channels, other=0.0) * LOG2E
    order = tl.arange(0, TILE)[:, None]
    carried = tl.zeros([1, BLOCK], tl.float32)
    for tile in range(TILES):
        at = tile * TILE + order
        on = at < chunks
        at = tl.where(reverse == 1, chunks - 1 - at, at)
        place = (scan.to(tl.int64) * chunks + at) * width
        decay = tl.exp2(rates * tl.load(sums + place + c, mask=on, other=0.0))
        h = tl.load(states + place * N + n * width + c, mask=on, other=0.0)
        whole, h = tl.associative_scan((decay, h), 0, _then)
        h += whole * carried
        tl.store(states + place * N + n * width + c, h, mask=on)
        carried = tl.sum(tl.where(order == TILE - 1, h, 0.0), 0, keep_dims=True)


@triton.jit(do_not_specialize=VARYING)
def chunk_outputs(
    delta, u, B, C, z, A, D, bias, states, sofar, ungated, y,
    length, channels, chunks, blocks, reverse,
    delta_b, delta_l, u_b, u_l, B_b, B_l, C_b, C_l, z_b, z_l,
    N: tl.constexpr, BLOCK: tl.constexpr, CHUNK: triton_types.LOOP_LENGTH, SOFTPLUS: tl.constexpr, BIAS: tl.constexpr,
    SKIP: tl.constexpr, GATE: tl.constexpr, ADD: tl.constexpr, KEEP: tl.constexpr,
    ALIGNED: tl.constexpr, UNROLL: tl.constexpr, FETCH: tl.constexpr,
):  # fmt: skip
    """y of one direction: the chunk run again from its true state. ADD: to what is in `sofar`, before the gate."""
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
    C += item.to(tl.int64) * C_b + start * C_l
    if GATE:
        z += item.to(tl.int64) * z_b + start * z_l
    out = (item.to(tl.int64) * length + start) * channels + c
    u_l, delta_l, B_l, C_l, z_l, out_l = u_l * way, delta_l * way, B_l * way, C_l * way, z_l * way, channels * way
    rates = times(rows(A + c * N, 1, on, N), LOG2E, N)
    shift = tl.load(bias + c, mask=on, other=0.0).to(tl.float32) if BIAS else 0.0
    skip = tl.load(D + c, mask=on, other=0.0).to(tl.float32) if SKIP else 0.0

    before = chunk - way
    known = tl.where((before >= 0) & (before < chunks), blocks * BLOCK, 0)
    place = (item.to(tl.int64) * chunks + before) * N * blocks * BLOCK
    h = rows(states + place + c, blocks * BLOCK, c < known, N)
    next_step, next_x = row(delta + c, on), row(u + c, on)
    next_b, next_c = vector(B, N, ALIGNED), vector(C, N, ALIGNED)
    next_gate = row(z + c, on) if GATE else next_x
    for i in range(0, CHUNK, UNROLL):
        if FETCH > 0:
            fetch(delta, i + FETCH, count, delta_l, block * BLOCK, channels, UNROLL, BLOCK)
            fetch(u, i + FETCH, count, u_l, block * BLOCK, channels, UNROLL, BLOCK)
            fetch_vectors(B, i + FETCH, count, B_l, N, UNROLL)
            fetch_vectors(C, i + FETCH, count, C_l, N, UNROLL)
            if GATE:
                fetch(z, i + FETCH, count, z_l, block * BLOCK, channels, UNROLL, BLOCK)
        for j in tl.static_range(UNROLL):
            t = tl.minimum(i + j + 1, count - 1)
            step, x, b, cc, gate = next_step, next_x, next_b, next_c, next_gate
            next_step, next_x = row(delta + t * delta_l + c, on), row(u + t * u_l + c, on)
            next_b, next_c = vector(B + t * B_l, N, ALIGNED), vector(C + t * C_l, N, ALIGNED)
            next_gate = row(z + t * z_l + c, on) if GATE else next_x
            step += shift
            if SOFTPLUS:
                step = softplus(step)
            h = advance(h, step, x, b, rates, N)
            o = dot(h, cc, N)
            t = tl.minimum(i + j, count - 1)
            live = c < tl.where(i + j < count, channels, 0)
            if SKIP:
                o += skip * x
            if ADD:
                o += tl.load(sofar + out + t * out_l, mask=live, other=0.0)
            if KEEP:
                tl.store(ungated + out + t * out_l, o, mask=live)
            if GATE:
                o *= gate * sigmoid(gate)
            tl.store(y + out + t * out_l, o, mask=live)
