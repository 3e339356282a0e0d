"""Backward kernels of the windowed cross scan: of the scan, then of the C·B of its points.

With S_k the sum of the steps after point k, v = Δu and the decays E_kn = exp(A_n S_k), the output is
y = Σ_k v_k Σ_n CB_kn E_kn + D u_last. S_k depends on the steps of all later points, so a step's gradient has a running
sum over the points before it. Samples and decays are made again. Sums over pixels are kept for every program and added
up afterwards; only the gradient of the frame needs atomic additions.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.cross_scan.triton_steps import (
    LN2,
    add_exactly,
    blend,
    blend_with_slopes,
    read,
    split_point,
    spread,
)
from basicsr_ssm.ops.triton_math import LOG2E, exp2, sigmoid, softplus


@triton.jit
def scan_gradient(
    frame, positions, encoding, weights, A, D, dy, dframe, dpositions, dweights, dencoding, dA, dD, scale, largest,
    first_row, end, image_rows, columns, height, width, frame_n, frame_row,
    POINTS: tl.constexpr, CHANNELS: tl.constexpr, STATES: tl.constexpr, N: tl.constexpr, STEP: tl.constexpr,
    WIDE: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr,
    PAST: tl.constexpr, FIXED: tl.constexpr, MEASURE: tl.constexpr,
):  # fmt: skip
    """A warp's PIXELS pixels, one after the other, and a block of channels.

    Writes (blocks, pixels, points, 2) of dpositions, (blocks, pixels, points, N) of dweights; adds to
    (programs, points, 2, BLOCK) of dencoding, (programs, N, BLOCK) of dA and (programs, BLOCK) of dD.
    MEASURE: no dframe, but the largest number that would be spread, (programs,).
    """
    block = tl.program_id(1)
    program = block * tl.num_programs(0) + tl.program_id(0)
    lane = tl.arange(0, BLOCK)[None, :]
    c = block * BLOCK + lane
    on = c < CHANNELS
    reads = None if PAST else on
    n = tl.arange(0, N)[None, :, None]
    rates = A + n * CHANNELS + c[:, None, :]
    rates = tl.load(rates, mask=(n < STATES) & on[:, None, :], other=0.0) * LOG2E
    skip = tl.load(D + c, mask=on, other=0.0)
    own = dencoding + program.to(tl.int64) * (POINTS * 2 * BLOCK) + lane
    factor = tl.load(scale) if FIXED else 1.0

    A_sum = tl.zeros([1, N, BLOCK], tl.float32)
    D_sum = tl.zeros([1, BLOCK], tl.float32)
    most = tl.zeros([1, BLOCK], tl.float32)
    first_pixel = tl.cast(first_row, tl.int64) * columns
    for i in range(PIXELS):
        pixel = tl.program_id(0) * PIXELS + i
        live = pixel + tl.zeros([1, 1], tl.int32) < end
        pixel = tl.minimum(pixel, end - 1)
        item = ((first_row + pixel // columns) // image_rows).to(tl.int64) * frame_n
        image = frame + item + c
        spot = dframe + item + c
        place = positions + (first_pixel + pixel) * (POINTS * 2) + tl.zeros([1, 1], tl.int32)
        cb = weights + pixel.to(tl.int64) * (POINTS * N) + n
        part = (block.to(tl.int64) * end + pixel) * POINTS
        g = dy + (first_pixel + pixel) * CHANNELS + c
        g = tl.load(g, mask=live & on, other=0.0).to(tl.float32)

        later = tl.zeros([1, BLOCK], tl.float32)
        rest = tl.zeros([1, BLOCK], tl.float32)
        for k in range(POINTS):
            a, b, d, e, fx, fy, _, _ = split_point(place, k, width, height, frame_row, STEP, WIDE)
            shift = read(encoding + k * (2 * CHANNELS + STATES) + CHANNELS + c, reads)
            step = softplus(blend(image + CHANNELS, a, b, d, e, fx, fy, reads, shift))
            later, rest = add_exactly(later, rest, step)

        before = tl.zeros([1, BLOCK], tl.float32)
        moves = tl.zeros([1, BLOCK], tl.float32)  # dx, dy of all points, one a channel
        for k in range(POINTS):
            a, b, d, e, fx, fy, free_x, free_y = split_point(
                place, k, width, height, frame_row, STEP, WIDE
            )  # fmt: skip
            shift = encoding + k * (2 * CHANNELS + STATES) + c
            u, u_x, u_y = blend_with_slopes(image, a, b, d, e, fx, fy, reads, read(shift, reads))
            shift = read(shift + CHANNELS, reads)
            delta, delta_x, delta_y = blend_with_slopes(image + CHANNELS, a, b, d, e, fx, fy, reads, shift)
            step = softplus(delta)
            gv = g * step * u
            if k < POINTS - 1:
                later, rest = add_exactly(later, rest, -step)
                s = later + rest
                decay = exp2(rates * s[:, None, :])
                dcb = tl.sum(decay * gv[:, None, :], 2)
                tl.store(
                    dweights + (part + k) * N + n,
                    dcb[:, :, None], mask=live[:, :, None] & (n >= 0),
                )  # fmt: skip
                decay *= tl.load(cb + k * N)
                gw = g * tl.sum(decay, 1)
                slope = tl.sum(decay * rates, 1)
                A_sum += decay * (gv * s)[:, None, :]
                du = gw * step
                dstep = gw * u + before
                before += gv * slope * LN2
            else:
                gw = g * tl.load(weights + (pixel.to(tl.int64) * POINTS + k) * N)
                du = gw * step + skip * g
                dstep = gw * u + before
                D_sum += g * u
                whole_dcb = tl.sum(gv, 1)[:, None, None]
                tl.store(
                    dweights + (part + k) * N + n,
                    whole_dcb + tl.zeros([1, N, 1], tl.float32), mask=live[:, :, None] & (n >= 0),
                )  # fmt: skip
            ddelta = dstep * sigmoid(delta)

            sums = own + k * (2 * BLOCK)
            # only this program's: atomic so that nothing waits for them
            tl.atomic_add(sums, du, sem='relaxed')
            tl.atomic_add(sums + BLOCK, ddelta, sem='relaxed')
            dx = tl.sum(du * u_x + ddelta * delta_x, 1, keep_dims=True)
            dy_ = tl.sum(du * u_y + ddelta * delta_y, 1, keep_dims=True)
            moves = tl.where((lane == 2 * k) & free_x, dx, moves)
            moves = tl.where((lane == 2 * k + 1) & free_y, dy_, moves)
            if MEASURE:
                most = tl.maximum(most, tl.maximum(tl.abs(du), tl.abs(ddelta)))
            else:
                spread(spot, a, b, d, e, fx, fy, du, live & on, factor, FIXED)
                spread(spot + CHANNELS, a, b, d, e, fx, fy, ddelta, live & on, factor, FIXED)
        at = dpositions + part * 2 + lane
        tl.store(at, moves, mask=live & (lane < 2 * POINTS))

    line = tl.arange(0, BLOCK)
    at = dA + program.to(tl.int64) * (N * BLOCK) + tl.arange(0, N)[:, None] * BLOCK + line[None, :]
    tl.store(at, tl.load(at) + tl.sum(A_sum, 0))
    at = dD + program * BLOCK + line
    tl.store(at, tl.load(at) + tl.sum(D_sum, 0))
    if MEASURE:
        tl.store(largest + program, tl.maximum(tl.load(largest + program), tl.max(tl.max(most, 1), 0)))


@triton.jit
def point_weights_gradient(
    frame, positions, encoding, C, dweights, dparts, dframe, dpositions, dencoding, dC, scale, largest,
    first_row, end, image_rows, columns, height, width, frame_n, frame_row, C_n, C_row, C_column,
    POINTS: tl.constexpr, CHANNELS: tl.constexpr, STATES: tl.constexpr, N: tl.constexpr, STEP: tl.constexpr,
    WIDE: tl.constexpr, PIXELS: tl.constexpr, BLOCKS: tl.constexpr, FIXED: tl.constexpr, MEASURE: tl.constexpr,
):  # fmt: skip
    """The share of B and C, and dpositions of all shares; adds to (programs, points, N) of dencoding."""
    program = tl.program_id(0)
    pixel = program * PIXELS + tl.arange(0, PIXELS)[:, None]
    there = pixel < end
    pixel = tl.minimum(pixel, end - 1)
    n = tl.arange(0, N)[None, :]
    on = n < STATES
    row = first_row + pixel // columns
    item = (row // image_rows).to(tl.int64)
    image = frame + item * frame_n + 2 * CHANNELS + n
    spot = dframe + item * frame_n + 2 * CHANNELS + n
    place = row.to(tl.int64) * columns + pixel % columns
    c = C + item * C_n + (row % image_rows).to(tl.int64) * C_row + pixel % columns * C_column + n
    c = tl.load(c, mask=on, other=0.0).to(tl.float32)
    factor = tl.load(scale) if FIXED else 1.0
    C_sum = tl.zeros([PIXELS, N], tl.float32)
    most = tl.zeros([PIXELS, N], tl.float32)
    for k in tl.static_range(POINTS):
        a, b, d, e, fx, fy, free_x, free_y = split_point(
            positions, place * POINTS + k, width, height, frame_row, STEP, WIDE
        )  # fmt: skip
        shift = tl.load(encoding + k * (2 * CHANNELS + STATES) + 2 * CHANNELS + n, mask=on, other=0.0)
        B, B_x, B_y = blend_with_slopes(image, a, b, d, e, fx, fy, on, shift)
        G = tl.zeros([PIXELS, N], tl.float32)
        dx = tl.zeros([PIXELS, 1], tl.float32)
        dy = tl.zeros([PIXELS, 1], tl.float32)
        for block in range(BLOCKS):
            part = (pixel.to(tl.int64) + block * end) * POINTS + k
            G += tl.load(dweights + part * N + n, mask=there & on, other=0.0)
            dx += tl.load(dparts + part * 2)
            dy += tl.load(dparts + part * 2 + 1)
        C_sum += G * B
        dB = G * c
        dx += tl.where(free_x, tl.sum(dB * B_x, 1, keep_dims=True), 0.0)
        dy += tl.where(free_y, tl.sum(dB * B_y, 1, keep_dims=True), 0.0)
        at = dpositions + (place * POINTS + k) * 2
        tl.store(at, dx, mask=there)
        tl.store(at + 1, dy, mask=there)
        sums = dencoding + (program.to(tl.int64) * POINTS + k) * N + tl.arange(0, N)
        tl.atomic_add(sums, tl.sum(dB, 0), sem='relaxed')
        if MEASURE:
            most = tl.maximum(most, tl.abs(dB))
        else:
            spread(spot, a, b, d, e, fx, fy, dB, there & on, factor, FIXED)
    tl.store(dC + place * STATES + n, C_sum, mask=there & on)
    if MEASURE:
        tl.store(largest + program, tl.maximum(tl.load(largest + program), tl.max(tl.max(most, 1), 0)))
