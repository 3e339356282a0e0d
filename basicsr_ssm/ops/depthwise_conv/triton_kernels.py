"""The kernels of the depthwise convolution: lanes over channels, each warp a strip of a few rows and frames.

A program's LINES warps lie below each other. A warp walks along its rows and loads each pixel of a column that its
FRAMES × ROWS outputs reach once. Forward, it adds the pixel, times KW taps, to the sums of the KW outputs around it;
for the gradient of the filter, the pixel times the slopes of these outputs to the sums of the taps. Taps, sums and the
next column stay in registers: two numbers a lane each, where there are 32 lanes for BLOCK = 64 channels.

WHOLE: a clip has no more than these FRAMES, and taps that reach beyond it are left out.

Strides and channels come in units of VEC numbers, which tells the compiler how wide its loads may be. Offsets to a
strip are 64-bit, those inside of it 32-bit.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops import triton_types

# a value of 1 or a multiple of 16 must not mean another compilation
_VARYING = (
    'frames', 'height', 'width', 'channels', 'blocks', 'frame_groups', 'strip', 'first_tap', 'tap_step', 'biased',
    'STEPS', 'x_n', 'x_t', 'x_h', 'x_w', 'dy_n', 'dy_t', 'dy_h', 'dy_w',
)  # fmt: skip


@triton.jit
def _corner(v, item, frame, column, row, c, v_n, v_t, v_h, v_w):
    """Where a warp's volume starts: pointers (LINES, BLOCK), rows (LINES, 1) below each other."""
    start = item * v_n + frame * v_t + column * v_w.to(tl.int64)
    return v + start + (row * v_h.to(tl.int64) + c)


@triton.jit
def _column(
    at, s, on, frame, row, column, frames, height, width, v_t, v_h, v_w, FRAMES: tl.constexpr, ROWS: tl.constexpr
):
    """Column `s` of a volume: FRAMES × ROWS pixels from `frame`, `row` on, not yet converted; 0 outside of the clip."""
    pixels = ()
    nought = tl.zeros([1, 1], tl.int32)  # the interpreter's masks are made of tensors only
    on = on & ((nought + column + s).to(tl.uint32) < width.to(tl.uint32))
    for i in tl.static_range(FRAMES):
        there = on & ((nought + frame + i).to(tl.uint32) < frames.to(tl.uint32))
        for j in tl.static_range(ROWS):
            inside = there & ((row + j).to(tl.uint32) < height.to(tl.uint32))
            pixel = at + i * v_t + (j * v_h + s * v_w)
            pixels = pixels + (tl.load(pixel, mask=inside, other=0.0),)
    return pixels


@triton.jit
def _numbers(pixels, COUNT: tl.constexpr):
    values = ()
    for i in tl.static_range(COUNT):
        values = values + (pixels[i].to(tl.float32),)
    return values


@triton.jit(do_not_specialize=_VARYING)
def convolve(
    x, filters, bias, out,
    frames, height, width, channels, blocks, frame_groups, strip, first_tap, tap_step, biased, x_n, x_t, x_h, x_w,
    KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, FRAMES: tl.constexpr, WHOLE: tl.constexpr,
    ROWS: tl.constexpr, LINES: tl.constexpr, STEPS: triton_types.LOOP_LENGTH, BLOCK: tl.constexpr, VEC: tl.constexpr,
):  # fmt: skip
    """(strips · groups of frames · blocks of channels, groups of rows, n); `out` is contiguous.

    `filters` (taps, c) are read from `first_tap` on in steps of `tap_step`: backwards, that is the gradient of x.
    """
    SKIPPED: tl.constexpr = KT // 2 if WHOLE else 0  # frames that are reached before the first, and not there
    SEEN_FRAMES: tl.constexpr = FRAMES if WHOLE else FRAMES + KT - 1
    SEEN_ROWS: tl.constexpr = ROWS + KH - 1
    program = tl.program_id(0)
    line = tl.arange(0, LINES)[:, None]
    c = program % blocks * BLOCK + tl.arange(0, BLOCK)[None, :] + line * 0
    frame = program // blocks % frame_groups * FRAMES
    column = program // blocks // frame_groups * strip
    row = (tl.program_id(1) * LINES + line) * ROWS
    item = tl.program_id(2).to(tl.int64)
    channels *= VEC
    on = c < channels

    taps = ()
    for k in tl.static_range(KT * KH * KW):
        tap = tl.load(filters + (first_tap + k * tap_step) * channels + c, mask=on, other=0.0)
        taps = taps + (tap.to(tl.float32),)
    nought = tl.zeros([1, 1], tl.int32)
    start = tl.load(bias + c, mask=c < channels * biased, other=0.0).to(tl.float32)
    sums = ()
    for _ in tl.static_range(FRAMES * ROWS * (KW - 1)):
        sums = sums + (tl.zeros([LINES, BLOCK], tl.float32),)

    out_h = width.to(tl.int64) * channels
    out_t = height * out_h
    to = _corner(out, item, frame, column, row, c, frames * out_t, out_t, out_h, channels)
    x_n, x_t, x_h, x_w = x_n.to(tl.int64) * VEC, x_t.to(tl.int64) * VEC, x_h * VEC, x_w * VEC
    first_frame, first_row, first_column = frame - KT // 2 + SKIPPED, row - KH // 2, column - KW // 2
    at = _corner(x, item, first_frame, first_column, first_row, c, x_n, x_t, x_h, x_w)
    pixels = _column(
        at, 0, on, first_frame, first_row, first_column, frames, height, width, x_t, x_h, x_w, SEEN_FRAMES, SEEN_ROWS
    )
    for s in range(STEPS):
        values = _numbers(pixels, SEEN_FRAMES * SEEN_ROWS)
        # the next column before this one's stores, which no load overtakes
        pixels = _column(
            at, s + 1, on, first_frame, first_row, first_column, frames, height, width, x_t, x_h, x_w,
            SEEN_FRAMES, SEEN_ROWS,
        )  # fmt: skip
        done = s - (KW - 1)  # the output that has all its taps now
        ready = on & (nought + done >= 0) & (nought + done < tl.minimum(strip, width - column))
        later = ()
        for f in tl.static_range(FRAMES):
            for r in tl.static_range(ROWS):
                for k in tl.static_range(KW):
                    total = start if k == 0 else sums[(f * ROWS + r) * (KW - 1) + k - 1]
                    for i in tl.static_range(KT):
                        if f + i >= SKIPPED and f + i < SKIPPED + SEEN_FRAMES:
                            for j in tl.static_range(KH):
                                total += values[(f + i - SKIPPED) * SEEN_ROWS + r + j] * taps[(i * KH + j) * KW + k]
                    if k < KW - 1:
                        later = later + (total,)
                    else:
                        place = to + f * out_t + r * out_h + done * channels
                        there = ready & (nought + frame + f < frames) & (row + r < height)
                        tl.store(place, total.to(out.dtype.element_ty), mask=there)
        sums = later


@triton.jit(do_not_specialize=_VARYING)
def filter_slopes(
    x, dy, partial,
    frames, height, width, channels, blocks, frame_groups, strip, x_n, x_t, x_h, x_w, dy_n, dy_t, dy_h, dy_w,
    KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, FRAMES: tl.constexpr, WHOLE: tl.constexpr,
    ROWS: tl.constexpr, LINES: tl.constexpr, STEPS: triton_types.LOOP_LENGTH, BLOCK: tl.constexpr, VEC: tl.constexpr,
):  # fmt: skip
    """Gradients of the taps and, last, of the bias, each program's share: `partial` (programs of a block of channels,
    taps + 1, c). The grid as in `convolve`."""
    SKIPPED: tl.constexpr = KT // 2 if WHOLE else 0  # frames that are reached before the first, and not there
    SEEN_FRAMES: tl.constexpr = FRAMES if WHOLE else FRAMES + KT - 1
    SEEN_ROWS: tl.constexpr = ROWS + KH - 1
    OWN: tl.constexpr = FRAMES * ROWS
    TAPS: tl.constexpr = KT * KH * KW
    program = tl.program_id(0)
    line = tl.arange(0, LINES)[:, None]
    lane = program % blocks * BLOCK + tl.arange(0, BLOCK)
    c = lane[None, :] + line * 0
    frame = program // blocks % frame_groups * FRAMES
    column = program // blocks // frame_groups * strip
    row = (tl.program_id(1) * LINES + line) * ROWS
    item = tl.program_id(2).to(tl.int64)
    channels *= VEC
    on = c < channels
    x_n, x_t, x_h, x_w = x_n.to(tl.int64) * VEC, x_t.to(tl.int64) * VEC, x_h * VEC, x_w * VEC
    dy_n, dy_t, dy_h, dy_w = dy_n.to(tl.int64) * VEC, dy_t.to(tl.int64) * VEC, dy_h * VEC, dy_w * VEC
    first_frame, first_row, first_column = frame - KT // 2 + SKIPPED, row - KH // 2, column - KW // 2

    nought = tl.zeros([1, 1], tl.int32)
    sums = ()
    for _ in tl.static_range(TAPS + 1):
        sums = sums + (tl.zeros([LINES, BLOCK], tl.float32),)
    at = _corner(x, item, first_frame, first_column, first_row, c, x_n, x_t, x_h, x_w)
    slope_at = _corner(dy, item, frame, column, row, c, dy_n, dy_t, dy_h, dy_w)
    pixels = _column(
        at, 0, on, first_frame, first_row, first_column, frames, height, width, x_t, x_h, x_w,
        SEEN_FRAMES, SEEN_ROWS,
    )  # fmt: skip
    given = _column(
        slope_at, 0, on, frame, row, column, frames, height, width, dy_t, dy_h, dy_w, FRAMES, ROWS
    )  # fmt: skip
    slopes = ()  # of the KW - 1 columns before, the nearest first
    for _ in tl.static_range((KW - 1) * OWN):
        slopes = slopes + (tl.zeros([LINES, BLOCK], tl.float32),)
    for s in range(STEPS):
        values, slopes = _numbers(pixels, SEEN_FRAMES * SEEN_ROWS), _numbers(given, OWN) + slopes
        pixels = _column(
            at, s + 1, on, first_frame, first_row, first_column, frames, height, width, x_t, x_h, x_w,
            SEEN_FRAMES, SEEN_ROWS,
        )  # fmt: skip
        given = _column(
            slope_at, s + 1, on & (nought + s + 1 < strip), frame, row, column, frames, height, width, dy_t, dy_h, dy_w,
            FRAMES, ROWS,
        )  # fmt: skip
        more = ()
        for i in tl.static_range(KT):
            for j in tl.static_range(KH):
                for k in tl.static_range(KW):
                    total = sums[(i * KH + j) * KW + k]
                    for f in tl.static_range(FRAMES):
                        if f + i >= SKIPPED and f + i < SKIPPED + SEEN_FRAMES:
                            for r in tl.static_range(ROWS):
                                total += values[(f + i - SKIPPED) * SEEN_ROWS + r + j] * slopes[k * OWN + f * ROWS + r]
                    more = more + (total,)
        total = sums[TAPS]
        for i in tl.static_range(OWN):
            total += slopes[i]
        sums = more + (total,)
        slopes = slopes[: (KW - 1) * OWN]
    share = (item * tl.num_programs(1) + tl.program_id(1)) * (tl.num_programs(0) // blocks) + program // blocks
    to = partial + share * ((TAPS + 1) * channels) + lane[:, None, None]
    # four at a time: the sum over the warps goes through shared memory, and each pass waits for all of them
    fourth = tl.arange(0, 2)[None, :, None] + 2 * tl.arange(0, 2)[None, None, :]
    for k in tl.static_range(0, TAPS + 1, 4):
        four = tl.join(
            tl.join(sums[k], sums[min(k + 1, TAPS)]), tl.join(sums[min(k + 2, TAPS)], sums[min(k + 3, TAPS)])
        )
        there = (lane < channels)[:, None, None] & (k + fourth <= TAPS)
        tl.store(to + (k + fourth) * channels, tl.sum(four, 0), mask=there)
