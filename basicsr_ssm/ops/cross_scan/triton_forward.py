"""Forward kernels of the windowed cross scan: C·B of all points, then the scan itself.

A warp of the scan has one pixel at a time, its lanes have channels with all their states, so that no number has to
change lanes. Its points go from the last to the first, which needs only the sum of the steps after a point.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.cross_scan.triton_steps import blend, mix, read, read_corners, split_point, split_position
from basicsr_ssm.ops.triton_math import LOG2E, exp2, softplus
from basicsr_ssm.ops.triton_rows import rows, times, vector


@triton.jit
def point_weights(
    frame, positions, encoding, C, weights,
    first_row, end, image_rows, columns, height, width, frame_n, frame_row, C_n, C_row, C_column,
    POINTS: tl.constexpr, CHANNELS: tl.constexpr, STATES: tl.constexpr, N: tl.constexpr, STEP: tl.constexpr,
    WIDE: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """weights (pixel, point, N): C_n B_n of each point; for the last one, which does not decay, their sum."""
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)[:, None]
    there = pixel < end
    pixel = tl.minimum(pixel, end - 1)
    n = tl.arange(0, N)[None, :]
    on = n < STATES
    row = first_row + pixel // columns
    item = (row // image_rows).to(tl.int64)
    image = frame + item * frame_n + 2 * CHANNELS + n
    place = (row.to(tl.int64) * columns + pixel % columns) * POINTS
    c = C + item * C_n + (row % image_rows).to(tl.int64) * C_row + pixel % columns * C_column + n
    c = tl.load(c, mask=on, other=0.0).to(tl.float32)
    out = weights + pixel.to(tl.int64) * POINTS * N + n
    for k in tl.static_range(POINTS):
        a, b, d, e, fx, fy, _, _ = split_point(positions, place + k, width, height, frame_row, STEP, WIDE)
        shift = tl.load(encoding + k * (2 * CHANNELS + STATES) + 2 * CHANNELS + n, mask=on, other=0.0)
        cb = blend(image, a, b, d, e, fx, fy, on, shift) * c
        if k == POINTS - 1:
            cb = tl.sum(cb, 1, keep_dims=True) + tl.zeros_like(cb)
        tl.store(out + k * N, cb, mask=there & (n >= 0))


@triton.jit
def _read_point(
    image, x, y, encoding, c, k, width, height, frame_row, reads,
    CHANNELS: tl.constexpr, STATES: tl.constexpr, STEP: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """What `_sample` makes u and δ of: corners, the point between them, and the encoding of point k."""
    a, b, d, e, fx, fy, _, _ = split_position(x, y, width, height, frame_row, STEP, WIDE)
    shift = encoding + k * (2 * CHANNELS + STATES) + c
    shifts = read(shift, reads), read(shift + CHANNELS, reads)
    corners = read_corners(image, a, b, d, e, reads), read_corners(image + CHANNELS, a, b, d, e, reads)
    return corners + shifts + (fx, fy)


@triton.jit
def _sample(point):
    """u and δ."""
    u, delta, u_shift, delta_shift, fx, fy = point
    u = mix(u[0], u[1], u[2], u[3], fx, fy, u_shift)
    return u, mix(delta[0], delta[1], delta[2], delta[3], fx, fy, delta_shift)


@triton.jit
def scan(
    frame, positions, encoding, weights, A, D, y,
    first_row, end_row, image_rows, columns, height, width, frame_n, frame_row,
    POINTS: tl.constexpr, CHANNELS: tl.constexpr, STATES: tl.constexpr, N: tl.constexpr, STEP: tl.constexpr,
    WIDE: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, PAST: tl.constexpr,
):  # fmt: skip
    """y of ROWS pixels below each other and a block of channels. PAST: idle lanes may read past the last channel.

    What a point needs is read one point ahead, and where it lies two: while it comes, the exponentials of another point
    are made.
    """
    column = tl.program_id(0)
    c = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    on = c < CHANNELS
    reads = None if PAST else on
    rates = times(rows(A + c, CHANNELS, on, STATES), LOG2E, STATES)
    skip = tl.load(D + c, mask=on, other=0.0)

    for i in range(ROWS):
        row = first_row + tl.program_id(1) * ROWS + i
        live = c < tl.where(row < end_row, CHANNELS, 0)
        row = tl.minimum(row, end_row - 1)
        image = frame + (row // image_rows).to(tl.int64) * frame_n + c
        place = positions + (row.to(tl.int64) * columns + column) * (2 * POINTS)
        cb = weights + ((row - first_row).to(tl.int64) * columns + column) * (POINTS * N)

        k: tl.constexpr = POINTS - 1
        before: tl.constexpr = (2 * POINTS - 2) % POINTS  # of one point, itself
        px, py = tl.load(place + 2 * k), tl.load(place + 2 * k + 1)
        point = _read_point(
            image, px, py, encoding, c, k, width, height, frame_row, reads, CHANNELS, STATES, STEP, WIDE
        )  # fmt: skip
        px, py = tl.load(place + 2 * before), tl.load(place + 2 * before + 1)
        next_weights = vector(cb + before * N, STATES, N % 4 == 0)
        next_point = _read_point(
            image, px, py, encoding, c, before, width, height, frame_row, reads, CHANNELS, STATES, STEP, WIDE
        )  # fmt: skip
        two = (2 * POINTS - 3) % POINTS
        px, py = tl.load(place + 2 * two), tl.load(place + 2 * two + 1)
        u, delta = _sample(point)
        later = softplus(delta)
        out = (tl.load(cb + k * N) * later + skip) * u
        for j in range(1, POINTS):
            w, point = next_weights, next_point
            ahead = (2 * POINTS - 2 - j) % POINTS  # before the first point, any
            next_weights = vector(cb + ahead * N, STATES, N % 4 == 0)
            next_point = _read_point(
                image, px, py, encoding, c, ahead, width, height, frame_row, reads, CHANNELS, STATES, STEP, WIDE
            )  # fmt: skip
            two = (2 * POINTS - 3 - j) % POINTS
            px, py = tl.load(place + 2 * two), tl.load(place + 2 * two + 1)
            total = exp2(rates[0] * later) * w[0]
            for n in tl.static_range(1, STATES):
                total += exp2(rates[n] * later) * w[n]
            u, delta = _sample(point)
            step = softplus(delta)
            out += total * (step * u)
            later += step
        tl.store(y + (row.to(tl.int64) * columns + column) * CHANNELS + c, out, mask=live)
