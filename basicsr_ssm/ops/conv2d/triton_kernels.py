"""The convolution as a product of matrices whose left one is never in memory: pixels × (taps · channels).

A program computes a tile of M = ROWS × COLUMNS pixels and N output channels. It goes through the inputs one after the
other, as if they were concatenated. One of many channels: WIDTH channels of one tap at a time, the taps of the same
channels after each other, so that what neighbouring pixels share is read from near. One of few: LINES of its
taps at a time, these and its channels together make the columns of a matrix.

The weights are (OUT, SIDE, SIDE, channels of all inputs), read as they are. With SHUFFLE = r, output channel c·r² + i·r
+ j is channel c of pixel (r·y + i, r·x + j); a block of outputs then holds the channels of one (i, j), side by side.

Offsets to a tile are 64-bit, those inside of it 32-bit.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_product import made_good, product_of_cut

# a value of 1 or a multiple of 16 must not mean another compilation
_VARYING = (
    'slope', 'height', 'width', 'across', 'tiles', 'blocks', 'residual_n', 'residual_c', 'residual_h', 'residual_w',
)  # fmt: skip


@triton.jit
def _steps(strides, i: tl.constexpr, VEC: tl.constexpr):
    """From channel to channel, row to row, column to column; `strides` are coded (`launch.Form.coded`)."""
    return (strides[i][1] - 3) >> 1, ((strides[i][2] - 3) >> 1) * VEC, ((strides[i][3] - 3) >> 1) * VEC


@triton.jit
def _tiles(inputs, strides, image, top, left, START: tl.constexpr, END: tl.constexpr, VEC: tl.constexpr):
    """Pointers to the tile in the inputs from START to END."""
    places = ()
    for i in tl.static_range(START, END):
        _, v_h, v_w = _steps(strides, i, VEC)
        v_n = ((strides[i][0] - 3) >> 1).to(tl.int64) * VEC
        places = places + (inputs[i] + (image * v_n + top * v_h.to(tl.int64) + left * v_w.to(tl.int64)),)
    return places


@triton.jit
def _outside(at, size, SIDE: tl.constexpr):
    """Bit k says whether tap k of SIDE along an axis is outside, of a pixel that is `at` there, or past its size."""
    before = tl.maximum(SIDE // 2 - at, 0)
    inside = tl.minimum(tl.maximum(size - at + SIDE // 2, 0), SIDE)  # those up to the end
    return ((1 << before) - 1) | ((1 << SIDE) - (1 << inside))


@triton.jit
def _many_channels(
    acc, places, weight, outside, row, column, v_h, v_w, o,
    CHANNELS: tl.constexpr, WIDTH: tl.constexpr, SIDE: tl.constexpr, TOTAL: tl.constexpr,
    OUT: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """acc + inputs that are alike · their weights; `places` point to the tile in each, its pixels are (row, column)."""
    TAPS: tl.constexpr = SIDE * SIDE
    STEPS: tl.constexpr = TAPS * ((CHANNELS + WIDTH - 1) // WIDTH)
    c = tl.arange(0, WIDTH)
    at = (row * v_h + column * v_w)[:, None] + c[None, :]
    weight_at = weight + (o[None, :] * (TAPS * TOTAL) + c[:, None])
    for step in range(len(places) * STEPS):
        tap, first = step % TAPS, step % STEPS // TAPS * WIDTH
        down, right = tap // SIDE, tap % SIDE
        place = places[0]
        for i in tl.static_range(1, len(places)):
            place = tl.where(step < i * STEPS, place, places[i])
        shift = (down - SIDE // 2) * v_h + (right - SIDE // 2) * v_w + first
        there = (outside & ((1 << down) | (1 << (SIDE + right))))[:, None] == 0
        known = o[None, :] < OUT
        if CHANNELS % WIDTH != 0:
            there = there & (first + c < CHANNELS)[None, :]
            known = known & (first + c < CHANNELS)[:, None]
        a = tl.load(place + shift + at, mask=there, other=0.0, cache_modifier='.ca')
        from_weight = weight_at + (tap * TOTAL + step // STEPS * CHANNELS + first)
        if OUT % N == 0 and CHANNELS % WIDTH == 0:
            b = tl.load(from_weight)
        else:
            b = tl.load(from_weight, mask=known, other=0.0)
        acc = product_of_cut(a.to(b.dtype), b, acc)
    return acc


@triton.jit
def _few_channels(
    acc, x, weight, outside, row, column, v_c, v_h, v_w, o,
    CHANNELS: tl.constexpr, SIDE: tl.constexpr, TOTAL: tl.constexpr, OUT: tl.constexpr,
    LINES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """acc + an input · its weights: the taps · channels of LINES at a time, channels first, in WIDTH columns."""
    USED: tl.constexpr = LINES * SIDE * CHANNELS
    k = tl.arange(0, WIDTH)
    tap, c = tl.minimum(k // CHANNELS, LINES * SIDE - 1), k % CHANNELS
    down, right = tap // SIDE, tap % SIDE
    shift = (down - SIDE // 2) * v_h + (right - SIDE // 2) * v_w + c * v_c
    at = (row * v_h + column * v_w)[:, None] + shift[None, :]
    weight_at = weight + (o[None, :] * (SIDE * SIDE * TOTAL) + (tap * TOTAL + c)[:, None])
    known = (o[None, :] < OUT) & (k < USED)[:, None]
    # loads of single numbers ahead of time would take more registers than there are
    for line in tl.range(0, SIDE, LINES, num_stages=1):
        there = (outside[:, None] & ((1 << (line + down)) | (1 << (SIDE + right)))[None, :]) == 0
        a = tl.load(x + line * v_h + at, mask=there & (k < USED)[None, :], other=0.0)
        b = tl.load(weight_at + line * (SIDE * TOTAL), mask=known, other=0.0)
        acc = product_of_cut(a.to(b.dtype), b, acc)
    return acc


@triton.jit(do_not_specialize=_VARYING)
def convolve(
    inputs, strides, weight, bias, residual, out,
    slope, height, width, across, tiles, blocks, residual_n, residual_c, residual_h, residual_w,
    STARTS: tl.constexpr, ENDS: tl.constexpr, CHANNELS: tl.constexpr, FIRST: tl.constexpr, WIDTHS: tl.constexpr,
    LINES: tl.constexpr, VECS: tl.constexpr, RESIDUAL: tl.constexpr, TOTAL: tl.constexpr, OUT: tl.constexpr,
    SIDE: tl.constexpr, SHUFFLE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """(blocks of outputs · tiles · n,); bias and residual may be None; `out` is contiguous, channels last.

    Each group of inputs that are alike STARTS at an input and ENDS before another, and has: CHANNELS of one of them,
    which of all channels is the FIRST, WIDTH, LINES (0 of many channels), and the unit VEC of their strides (n, c, h,
    w). RESIDUAL is the unit of its strides where its channels lie side by side, else 0.
    out = max(v, 0) + slope · min(v, 0) + residual.
    """
    program = tl.program_id(0)
    block, place = program % blocks, program // blocks
    image, place = (place // tiles).to(tl.int64), place % tiles
    top, left = place // across * ROWS, place % across * COLUMNS
    p = tl.arange(0, ROWS * COLUMNS)
    row, column = p // COLUMNS, p % COLUMNS
    y, x = top + row, left + column
    outside = _outside(y, height, SIDE) | (_outside(x, width, SIDE) << SIDE)
    n = block * N + tl.arange(0, N)
    PLANES: tl.constexpr = OUT // (SHUFFLE * SHUFFLE)
    if SHUFFLE == 1:
        o, channel = n, n
        line, pixel = row[:, None], column[:, None]
    else:
        channel, part = n % PLANES, n // PLANES
        o = tl.where(n < OUT, channel * (SHUFFLE * SHUFFLE) + part, OUT)
        line = row[:, None] * SHUFFLE + (part // SHUFFLE)[None, :]
        pixel = column[:, None] * SHUFFLE + (part % SHUFFLE)[None, :]
    there = ((y < height) & (x < width))[:, None] & (n < OUT)[None, :]
    if residual is not None:  # asked for early, for nothing hides its way
        v_h, v_w = residual_h * max(1, RESIDUAL), residual_w * max(1, RESIDUAL)
        at = residual + image * (residual_n.to(tl.int64) * max(1, RESIDUAL))
        at += (top * SHUFFLE) * v_h.to(tl.int64) + (left * SHUFFLE) * v_w.to(tl.int64)
        far = channel[None, :] * residual_c.to(tl.int64) if RESIDUAL == 0 else channel[None, :]
        added = tl.load(at + (line * v_h + pixel * v_w + far), mask=there, other=0.0)

    acc = tl.zeros((ROWS * COLUMNS, N), tl.float32)
    for g in tl.static_range(len(STARTS)):
        places = _tiles(inputs, strides, image, top, left, STARTS[g], ENDS[g], VECS[g])
        v_c, v_h, v_w = _steps(strides, STARTS[g], VECS[g])
        if LINES[g] > 0:
            acc = _few_channels(
                acc, places[0], weight + FIRST[g], outside, row, column, v_c, v_h, v_w, o,
                CHANNELS[g], SIDE, TOTAL, OUT, LINES[g], WIDTHS[g],
            )  # fmt: skip
        else:
            acc = _many_channels(
                acc, places, weight + FIRST[g], outside, row, column, v_h, v_w, o,
                CHANNELS[g], WIDTHS[g], SIDE, TOTAL, OUT, N,
            )  # fmt: skip

    acc = made_good(acc, weight.dtype.element_ty)
    if bias is not None:
        acc += tl.load(bias + o, mask=o < OUT, other=0.0).to(tl.float32)[None, :]
    # a slope of 0 is that of a ReLU, which makes nothing of −∞ too
    acc = tl.where(acc < 0, tl.where(slope == 0, 0.0, acc * slope), acc)
    if residual is not None:
        acc += added.to(tl.float32)
    whole = width * SHUFFLE  # a line of the result
    at = out + ((image * height + top) * SHUFFLE * whole + left * SHUFFLE) * PLANES
    tl.store(at + ((line * whole + pixel) * PLANES + channel[None, :]), acc.to(out.dtype.element_ty), mask=there)
