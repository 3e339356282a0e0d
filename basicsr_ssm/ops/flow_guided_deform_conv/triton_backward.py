"""The backward kernel: one program a tap, a block of groups, and a run of tiles.

Samples are computed anew. With s the four corners v of a sample times their shares, m its mask and dc the slope of
m·s, which is the matrix product of the output's slope and the weights: that of the mask is Σ dc·s over the channels of
the group, that of the feature m·dc times the shares, and those of the position come from differences of the corners.
"""

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


@triton.jit
def _scatter(at, value, mask, scale, FIXED: tl.constexpr):
    """FIXED: as integers, whose sum does not depend on the order."""
    if FIXED:
        tl.atomic_add(at, (value * scale).to(tl.int64), mask=mask, sem='relaxed')
    else:
        tl.atomic_add(at, value, mask=mask, sem='relaxed')


@triton.jit(do_not_specialize=['height', 'width', 'across', 'tiles', 'images'])
def backward(
    feature, raw, flow, weight, grad, to_feature, to_raw, to_flow, to_weight, scale,
    max_residue, height, width, across, tiles, images,
    raw_n, raw_c, raw_h, raw_w, flow_n, flow_c, flow_h, flow_w, grad_n, grad_c, grad_h, grad_w,
    GROUPS: tl.constexpr, PLANES: tl.constexpr, PARTS: tl.constexpr, V: tl.constexpr, SIDE: tl.constexpr,
    OUT: tl.constexpr, N: tl.constexpr, G: tl.constexpr, TURNS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FIXED: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """(block · TAPS + tap, run of TURNS tiles). Partial sums: `to_flow` (blocks · TAPS, images, 2, h, w), `to_weight`
    (runs, OUT, TAPS, GROUPS·PARTS·V). `to_feature` is laid out as the feature, in float32 or, FIXED, in int64.
    """
    TAPS: tl.constexpr = SIDE * SIDE
    P: tl.constexpr = ROWS * COLUMNS
    K: tl.constexpr = G * V
    part, run = tl.program_id(0), tl.program_id(1)
    block, tap = part // TAPS, part % TAPS
    g, sample, known = groups(block, tap, G, TAPS, GROUPS)
    e, o = tl.arange(0, V)[None, None, :], tl.arange(0, N)[None, :]
    pixels = height.to(tl.int64) * width
    factor = 1.0
    if FIXED:
        factor = tl.load(scale)
    ws, dws = (), ()
    for j in tl.static_range(PARTS):
        here, exists = weight_place(block, tap, j, N, OUT, G, V, PARTS, TAPS, GROUPS)
        ws = ws + (tl.load(weight + here, mask=exists, other=0.0),)
        dws = dws + (tl.zeros((N, K), tl.float32),)
    for turn in range(TURNS):
        index = run * TURNS + turn
        image, y, x, inside = tile(index, height, width, across, tiles, ROWS, COLUMNS)
        inside = inside & (y * 0 + index < images * tiles)
        # before anything is loaded: Triton's compiler then brings these products to the layout of the samples, not the
        # other way round
        at = grad + (image * grad_n + y.to(tl.int64) * grad_h + x.to(tl.int64) * grad_w)[:, None] + o * grad_c
        slope = tl.load(at, mask=inside[:, None] & (o < OUT), other=0.0).to(ws[0].dtype)
        dcs = ()
        for j in tl.static_range(PARTS):
            dc = product(slope, ws[j], tl.zeros((P, K), tl.float32), EXACT)
            dcs = dcs + (tl.reshape(dc, (P, G, V)),)

        dy, dx = flow_at(flow, image, y, x, inside, flow_n, flow_c, flow_h, flow_w)
        at = raw + (image * raw_n + y.to(tl.int64) * raw_h + x.to(tl.int64) * raw_w)[:, None]
        there = inside[:, None] & known
        residue_y, residue_x, mask = predicted(at, sample, there, raw_c, TAPS, GROUPS)
        residue_y, residue_x, mask = tanh(residue_y), tanh(residue_x), sigmoid(mask)
        row, column = y - SIDE // 2 + tap // SIDE, x - SIDE // 2 + tap % SIDE
        y0, fy, top, bottom = corner(max_residue * residue_y + dy[:, None] + row[:, None], height)
        x0, fx, left, right = corner(max_residue * residue_x + dx[:, None] + column[:, None], width)
        top, bottom = top & there, bottom & there
        place = (plane(image, g, height, width, PLANES, PARTS, V) + (y0 * width + x0) * V)[:, :, None] + e
        in00, in01 = (top & left)[:, :, None], (top & right)[:, :, None]
        in10, in11 = (bottom & left)[:, :, None], (bottom & right)[:, :, None]
        s00, s01, s10, s11 = (1.0 - fy) * (1.0 - fx), (1.0 - fy) * fx, fy * (1.0 - fx), fy * fx
        m00, m01 = (mask * s00)[:, :, None], (mask * s01)[:, :, None]
        m10, m11 = (mask * s10)[:, :, None], (mask * s11)[:, :, None]
        d00, d01, d10, d11 = 0.0, 0.0, 0.0, 0.0
        kept = ()
        for j in tl.static_range(PARTS):
            at, to, dc = feature + place, to_feature + place, dcs[j]
            v00 = tl.load(at, mask=in00, other=0.0).to(tl.float32)
            v01 = tl.load(at + V, mask=in01, other=0.0).to(tl.float32)
            v10 = tl.load(at + width * V, mask=in10, other=0.0).to(tl.float32)
            v11 = tl.load(at + (width + 1) * V, mask=in11, other=0.0).to(tl.float32)
            d00 += tl.sum(dc * v00, 2)
            d01 += tl.sum(dc * v01, 2)
            d10 += tl.sum(dc * v10, 2)
            d11 += tl.sum(dc * v11, 2)
            value = m00 * v00 + m01 * v01 + m10 * v10 + m11 * v11
            value = settled(tl.reshape(value, (P, K))).to(slope.dtype)
            kept = kept + (product(tl.trans(slope), value, dws[j], EXACT),)
            _scatter(to, dc * m00, in00, factor, FIXED)
            _scatter(to + V, dc * m01, in01, factor, FIXED)
            _scatter(to + width * V, dc * m10, in10, factor, FIXED)
            _scatter(to + (width + 1) * V, dc * m11, in11, factor, FIXED)
            place += pixels * V
        dws = kept

        dmask = s00 * d00 + s01 * d01 + s10 * d10 + s11 * d11
        dfy = mask * ((d10 - d00) * (1.0 - fx) + (d11 - d01) * fx)
        dfx = mask * ((d01 - d00) * (1.0 - fy) + (d11 - d10) * fy)
        at = to_raw + (image * (3 * GROUPS * TAPS) + 2 * sample) * pixels + (y * width + x)[:, None]
        dtype = to_raw.dtype.element_ty
        tl.store(at, (dfy * max_residue * (1.0 - residue_y * residue_y)).to(dtype), mask=there)
        tl.store(at + pixels, (dfx * max_residue * (1.0 - residue_x * residue_x)).to(dtype), mask=there)
        at += (2 * GROUPS * TAPS - sample) * pixels
        tl.store(at, (dmask * mask * (1.0 - mask)).to(dtype), mask=there)
        at = to_flow + (part * images + image) * 2 * pixels + y * width + x
        tl.store(at, tl.sum(tl.where(known, dfx, 0.0), 1), mask=inside)
        tl.store(at + pixels, tl.sum(tl.where(known, dfy, 0.0), 1), mask=inside)

    for j in tl.static_range(PARTS):
        here, exists = weight_place(block, tap, j, N, OUT, G, V, PARTS, TAPS, GROUPS)
        tl.store(to_weight + run.to(tl.int64) * (OUT * TAPS * GROUPS * PARTS * V) + here, dws[j], mask=exists)
