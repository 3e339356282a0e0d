"""The kernels of the warp: tiles (pixels of a row, channels)."""

import triton
import triton.language as tl


@triton.jit
def _axis(position, size, BORDER: tl.constexpr):
    """Along one axis: the pixel before a position, its weight and the next one's, 0 outside, and what these change by
    when the position does."""
    position = tl.where(size == 1, 0.0, position)
    if BORDER:
        moves = ((position > 0) & (position < size - 1)).to(tl.float32)
        position = tl.where(position < 0, 0.0, position)
        position = tl.where(position > size - 1, size - 1.0, position)
    else:
        # what is farther out reads zeros as well, and fits an integer; NaN stays
        position = tl.where(position < -2.0, -2.0, position)
        position = tl.where(position > size + 1.0, size + 1.0, position)
        moves = tl.where(size == 1, 0.0, tl.full(position.shape, 1.0, tl.float32))
    before = tl.floor(position)
    first = before.to(tl.int32)
    share = position - before
    there, next_there = (first >= 0) & (first < size), (first >= -1) & (first < size - 1)
    return (
        first, there, next_there,
        tl.where(there, 1.0 - share, share * 0.0), tl.where(next_there, share, share * 0.0),
        tl.where(there, -moves, 0.0), tl.where(next_there, moves, 0.0),
    )  # fmt: skip


@triton.jit
def _pixels(width, PIXELS: tl.constexpr):
    """Image (int64), row and columns (PIXELS, 1) of a program, and whether they are inside."""
    column = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)[:, None]
    return tl.program_id(2).to(tl.int64), tl.program_id(1), column, column < width


@triton.jit
def _place(image, row, column, n, h, w):
    """The offset of a pixel's first channel."""
    return image * n + row.to(tl.int64) * h + column.to(tl.int64) * w


@triton.jit
def _moved(flow, image, row, column, inside, flow_n, flow_c, flow_h, flow_w):
    """Where the pixels lie before they move: y, x."""
    at = flow + _place(image, row, column, flow_n, flow_h, flow_w)
    dx = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    dy = tl.load(at + flow_c, mask=inside, other=0.0).to(tl.float32)
    return row + dy, column + dx


@triton.jit(do_not_specialize=['channels', 'height', 'width'])
def forward(
    x, flow, y, channels, height, width, x_n, x_c, x_h, x_w, flow_n, flow_c, flow_h, flow_w, y_n, y_c, y_h, y_w,
    BORDER: tl.constexpr, BLOCK: tl.constexpr, BLOCKS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    image, row, column, inside = _pixels(width, PIXELS)
    from_y, from_x = _moved(flow, image, row, column, inside, flow_n, flow_c, flow_h, flow_w)
    top, top_in, bottom_in, wt, wb, _, _ = _axis(from_y, height, BORDER)
    left, left_in, right_in, wl, wr, _, _ = _axis(from_x, width, BORDER)
    x += _place(image, top, left, x_n, x_h, x_w)
    y += _place(image, row, column, y_n, y_h, y_w)
    for block in tl.static_range(BLOCKS):
        c = block * BLOCK + tl.arange(0, BLOCK)[None, :]
        there = inside & (c < channels)
        at = x + c.to(tl.int64) * x_c
        v = wt * wl * tl.load(at, mask=there & top_in & left_in, other=0.0).to(tl.float32)
        v += wt * wr * tl.load(at + x_w, mask=there & top_in & right_in, other=0.0).to(tl.float32)
        v += wb * wl * tl.load(at + x_h, mask=there & bottom_in & left_in, other=0.0).to(tl.float32)
        v += wb * wr * tl.load(at + x_h + x_w, mask=there & bottom_in & right_in, other=0.0).to(tl.float32)
        tl.store(y + c.to(tl.int64) * y_c, v, mask=there)


@triton.jit(do_not_specialize=['channels', 'height', 'width'])
def backward(
    dy, x, flow, dx, dflow, channels, height, width, dy_n, dy_c, dy_h, dy_w, x_n, x_c, x_h, x_w,
    flow_n, flow_c, flow_h, flow_w, dx_n, dx_c, dx_h, dx_w, dflow_n, dflow_c, dflow_h, dflow_w,
    BORDER: tl.constexpr, TO_X: tl.constexpr, TO_FLOW: tl.constexpr,
    BLOCK: tl.constexpr, BLOCKS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """dx has to be zero before."""
    image, row, column, inside = _pixels(width, PIXELS)
    from_y, from_x = _moved(flow, image, row, column, inside, flow_n, flow_c, flow_h, flow_w)
    top, top_in, bottom_in, wt, wb, dwt, dwb = _axis(from_y, height, BORDER)
    left, left_in, right_in, wl, wr, dwl, dwr = _axis(from_x, width, BORDER)
    dy += _place(image, row, column, dy_n, dy_h, dy_w)
    x += _place(image, top, left, x_n, x_h, x_w)
    dx += _place(image, top, left, dx_n, dx_h, dx_w)
    to_y = tl.zeros([PIXELS, 1], tl.float32)
    to_x = tl.zeros([PIXELS, 1], tl.float32)
    for block in tl.static_range(BLOCKS):
        c = block * BLOCK + tl.arange(0, BLOCK)[None, :]
        there = inside & (c < channels)
        slope = tl.load(dy + c.to(tl.int64) * dy_c, mask=there, other=0.0).to(tl.float32)
        if TO_X:
            at = dx + c.to(tl.int64) * dx_c
            tl.atomic_add(at, wt * wl * slope, mask=there & top_in & left_in, sem='relaxed')
            tl.atomic_add(at + dx_w, wt * wr * slope, mask=there & top_in & right_in, sem='relaxed')
            tl.atomic_add(at + dx_h, wb * wl * slope, mask=there & bottom_in & left_in, sem='relaxed')
            tl.atomic_add(at + dx_h + dx_w, wb * wr * slope, mask=there & bottom_in & right_in, sem='relaxed')
        if TO_FLOW:
            at = x + c.to(tl.int64) * x_c
            a = slope * tl.load(at, mask=there & top_in & left_in, other=0.0).to(tl.float32)
            b = slope * tl.load(at + x_w, mask=there & top_in & right_in, other=0.0).to(tl.float32)
            d = slope * tl.load(at + x_h, mask=there & bottom_in & left_in, other=0.0).to(tl.float32)
            e = slope * tl.load(at + x_h + x_w, mask=there & bottom_in & right_in, other=0.0).to(tl.float32)
            to_y += tl.sum(dwt * (wl * a + wr * b) + dwb * (wl * d + wr * e), 1, keep_dims=True)
            to_x += tl.sum(dwl * (wt * a + wb * d) + dwr * (wt * b + wb * e), 1, keep_dims=True)
    if TO_FLOW:
        at = dflow + _place(image, row, column, dflow_n, dflow_h, dflow_w)
        tl.store(at, to_x, mask=inside)
        tl.store(at + dflow_c, to_y, mask=inside)
