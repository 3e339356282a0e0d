"""Forward kernels of the windowed cross scan: C·B of all points, then the scan itself.

The scan's tile is (pixels, states, channels): a warp has one pixel, its lanes have channels with all their states, so
that no number has to change lanes. Its points go from the last to the first, which needs only the sum of the steps
after a point.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.cross_scan.triton_steps import blend, read, split_point
from basicsr_ssm.ops.triton_math import LOG2E, exp2, softplus


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
def _sample(
    image, positions, place, encoding, c, k, width, height, frame_row, reads,
    CHANNELS: tl.constexpr, STATES: tl.constexpr, STEP: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """u and δ at point k."""
    a, b, d, e, fx, fy, _, _ = split_point(positions, place + k, width, height, frame_row, STEP, WIDE)
    shift = encoding + k * (2 * CHANNELS + STATES) + c
    u = blend(image, a, b, d, e, fx, fy, reads, read(shift, reads))
    return u, blend(image + CHANNELS, a, b, d, e, fx, fy, reads, read(shift + CHANNELS, reads))


@triton.jit
def scan(
    frame, positions, encoding, weights, A, D, y,
    first_row, end_row, image_rows, columns, height, width, frame_n, frame_row,
    POINTS: tl.constexpr, CHANNELS: tl.constexpr, STATES: tl.constexpr, N: tl.constexpr, STEP: tl.constexpr,
    WIDE: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
    PAST: tl.constexpr,
):  # fmt: skip
    """y of a tile of PIXELS × ROWS pixels and a block of channels. PAST: idle lanes may read past the last channel."""
    column = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)[:, None]
    there = column < columns
    column = tl.minimum(column, columns - 1)
    # spread over the pixels before they are loaded, A and D get the layout of the tile
    c = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)[None, :]
    c = tl.broadcast_to(c, (PIXELS, BLOCK))
    on = c < CHANNELS
    reads = None if PAST else on
    n = tl.arange(0, N)[None, :, None]
    rates = A + n * CHANNELS + c[:, None, :]
    rates = tl.load(rates, mask=(n < STATES) & on[:, None, :], other=0.0) * LOG2E
    skip = tl.load(D + c, mask=on, other=0.0)
    wide_column = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)[:, None, None]
    wide_column = tl.minimum(wide_column, columns - 1)

    for i in range(ROWS):
        row = first_row + tl.program_id(1) * ROWS + i
        live = there & (row + tl.zeros_like(column) < end_row)
        row = tl.minimum(row, end_row - 1)
        image = frame + (row // image_rows).to(tl.int64) * frame_n + c
        pixel = (row - first_row).to(tl.int64) * columns
        place = (row.to(tl.int64) * columns + column) * POINTS
        cb = weights + (pixel + wide_column) * (POINTS * N) + n
        whole = weights + (pixel + column) * (POINTS * N)

        u, delta = _sample(
            image, positions, place, encoding, c, POINTS - 1, width, height, frame_row, reads,
            CHANNELS, STATES, STEP, WIDE,
        )  # fmt: skip
        later = softplus(delta)
        out = (tl.load(whole + (POINTS - 1) * N) * later + skip) * u
        if POINTS > 1:
            next_weights = tl.load(cb + (POINTS - 2) * N)  # read one point ahead, they come from far
            for j in range(1, POINTS):
                k = POINTS - 1 - j
                w = next_weights
                next_weights = tl.load(cb + (k + POINTS - 1) % POINTS * N)  # before the first point, any
                u, delta = _sample(
                    image, positions, place, encoding, c, k, width, height, frame_row, reads,
                    CHANNELS, STATES, STEP, WIDE,
                )  # fmt: skip
                decay = exp2(rates * later[:, None, :])
                step = softplus(delta)
                out += tl.sum(w * decay, 1) * (step * u)
                later += step
        tl.store(y + (row.to(tl.int64) * columns + column) * CHANNELS + c, out, mask=live & on)
