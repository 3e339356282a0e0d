"""The forward kernel: one program a tile of pixels, all output channels."""

import triton
import triton.language as tl

from basicsr_ssm.ops.flow_guided_deform_conv.triton_steps import (
    corner,
    flow_at,
    groups,
    plane,
    predicted,
    settled,
    sigmoid,
    tanh,
    tile,
    weight_place,
)
from basicsr_ssm.ops.triton_product import product


@triton.jit(do_not_specialize=['height', 'width', 'across', 'tiles'])
def forward(
    feature, raw, flow, weight, bias, out, max_residue, height, width, across, tiles,
    raw_n, raw_c, raw_h, raw_w, flow_n, flow_c, flow_h, flow_w, out_n, out_c, out_h, out_w,
    GROUPS: tl.constexpr, PLANES: tl.constexpr, PARTS: tl.constexpr, V: tl.constexpr, SIDE: tl.constexpr,
    OUT: tl.constexpr, N: tl.constexpr, G: tl.constexpr, BLOCKS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, BIAS: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """(tile,)."""
    TAPS: tl.constexpr = SIDE * SIDE
    image, y, x, inside = tile(tl.program_id(0), height, width, across, tiles, ROWS, COLUMNS)
    dy, dx = flow_at(flow, image, y, x, inside, flow_n, flow_c, flow_h, flow_w)
    raw += (image * raw_n + y.to(tl.int64) * raw_h + x.to(tl.int64) * raw_w)[:, None]
    e = tl.arange(0, V)[None, None, :]
    acc = tl.zeros((ROWS * COLUMNS, N), tl.float32)
    g, sample, known = groups(0, 0, G, TAPS, GROUPS)
    next_y, next_x, next_mask = predicted(raw, sample, inside[:, None] & known, raw_c, TAPS, GROUPS)
    for i in range(BLOCKS * TAPS):
        residue_y, residue_x, mask = tanh(next_y), tanh(next_x), sigmoid(next_mask)
        # asked for early: all else waits for these numbers, which come from afar
        g, sample, known = groups((i + 1) // TAPS, (i + 1) % TAPS, G, TAPS, GROUPS)
        next_y, next_x, next_mask = predicted(raw, sample, inside[:, None] & known, raw_c, TAPS, GROUPS)
        block, tap = i // TAPS, i % TAPS
        g, sample, known = groups(block, tap, G, TAPS, GROUPS)
        there = inside[:, None] & known
        row, column = y - SIDE // 2 + tap // SIDE, x - SIDE // 2 + tap % SIDE
        y0, fy, top, bottom = corner(max_residue * residue_y + dy[:, None] + row[:, None], height)
        x0, fx, left, right = corner(max_residue * residue_x + dx[:, None] + column[:, None], width)
        top, bottom = top & there, bottom & there
        at = feature + plane(image, g, height, width, PLANES, PARTS, V) + (y0 * width + x0) * V
        at = at[:, :, None] + e
        first, second = (1.0 - fy) * mask, fy * mask
        s00, s01 = ((1.0 - fx) * first)[:, :, None], (fx * first)[:, :, None]
        s10, s11 = ((1.0 - fx) * second)[:, :, None], (fx * second)[:, :, None]
        in00, in01 = (top & left)[:, :, None], (top & right)[:, :, None]
        in10, in11 = (bottom & left)[:, :, None], (bottom & right)[:, :, None]
        for part in tl.static_range(PARTS):
            value = s00 * tl.load(at, mask=in00, other=0.0) + s01 * tl.load(at + V, mask=in01, other=0.0)
            value += s10 * tl.load(at + width * V, mask=in10, other=0.0)
            value += s11 * tl.load(at + (width + 1) * V, mask=in11, other=0.0)
            place, exists = weight_place(block, tap, part, N, OUT, G, V, PARTS, TAPS, GROUPS)
            w = tl.load(weight + place, mask=exists, other=0.0)
            value = settled(tl.reshape(value, (ROWS * COLUMNS, G * V))).to(w.dtype)
            acc = product(value, tl.trans(w), acc, EXACT)
            at += height.to(tl.int64) * width * V

    o = tl.arange(0, N)[None, :]
    if BIAS:
        acc += tl.load(bias + o, mask=o < OUT, other=0.0).to(tl.float32)
    at = out + (image * out_n + y.to(tl.int64) * out_h + x.to(tl.int64) * out_w)[:, None] + o.to(tl.int64) * out_c
    tl.store(at, acc.to(out.dtype.element_ty), mask=inside[:, None] & (o < OUT))
