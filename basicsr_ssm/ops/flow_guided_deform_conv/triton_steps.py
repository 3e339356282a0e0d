"""What the forward and the backward kernel share: the samples of a tile of pixels, and the weights that meet them.

A tile is P = ROWS × COLUMNS pixels of one image. The kernels go through the samples tap by tap, in blocks of G
deformable groups: a block is (P, G). The channels of a group come in PARTS of V, 16 bytes: a part of a block's channels
is (P, G, V), which are K = G·V columns of a matrix. The feature lies in planes (n, PLANES · PARTS, h, w, V): one read a
corner of a sample, and neighbouring pixels read neighbouring places.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_math import sigmoid
from basicsr_ssm.ops.triton_types import ON_GPU


@triton.jit
def tanh(x):
    """Its error is absolute, 1e-7: that of a position, not of a small residue."""
    return 2.0 * sigmoid(2.0 * x) - 1.0


@triton.jit
def tile(index, height, width, across, tiles, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Image (int64), y, x and whether they are inside (P,), of a tile; an image has `tiles`, `across` in a row."""
    p = tl.arange(0, ROWS * COLUMNS)
    place = index % tiles
    y = place // across * ROWS + p // COLUMNS
    x = place % across * COLUMNS + p % COLUMNS
    return (index // tiles).to(tl.int64), y, x, (y < height) & (x < width)


@triton.jit
def flow_at(flow, image, y, x, inside, flow_n, flow_c, flow_h, flow_w):
    """(dy, dx) of the pixels."""
    at = flow + image * flow_n + y.to(tl.int64) * flow_h + x.to(tl.int64) * flow_w
    dx = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    return tl.load(at + flow_c, mask=inside, other=0.0).to(tl.float32), dx


@triton.jit
def groups(block, tap, G: tl.constexpr, TAPS: tl.constexpr, GROUPS: tl.constexpr):
    """Which groups a block has, their samples' numbers, and whether they are there, (1, G)."""
    g = block * G + tl.arange(0, G)[None, :]
    return g, (g * TAPS + tap).to(tl.int64), g < GROUPS


@triton.jit
def predicted(raw, sample, there, raw_c, TAPS: tl.constexpr, GROUPS: tl.constexpr):
    """What the network predicts of both residues and the mask (P, G); `raw` points to the pixels (P, 1)."""
    y = tl.load(raw + 2 * sample * raw_c, mask=there, other=0.0).to(tl.float32)
    x = tl.load(raw + (2 * sample + 1) * raw_c, mask=there, other=0.0).to(tl.float32)
    mask = tl.load(raw + (2 * GROUPS * TAPS + sample) * raw_c, mask=there, other=0.0).to(tl.float32)
    return y, x, mask


@triton.jit
def corner(position, size):
    """The pixel before a position, how far it is, and whether that pixel and the next are inside."""
    # what is farther out reads zeros as well, and fits an integer; NaN stays
    position = tl.where(position < -2.0, -2.0, position)
    position = tl.where(position > size + 1.0, size + 1.0, position)
    before = tl.floor(position)
    first = before.to(tl.int32)
    return first, position - before, (first >= 0) & (first < size), (first >= -1) & (first < size - 1)


@triton.jit
def plane(image, g, height, width, PLANES: tl.constexpr, PARTS: tl.constexpr, V: tl.constexpr):
    """Where the planes of the groups' first parts begin."""
    return (image * PLANES + g % PLANES) * PARTS * (height.to(tl.int64) * width * V)


@triton.jit
def weight_place(block, tap, part, N: tl.constexpr, OUT: tl.constexpr, G: tl.constexpr, V: tl.constexpr,
                 PARTS: tl.constexpr, TAPS: tl.constexpr, GROUPS: tl.constexpr):  # fmt: skip
    """(N, K): where the weights (OUT, TAPS, GROUPS·PARTS·V) of a tap and a part of a block are, and whether."""
    o, column = tl.arange(0, N)[:, None], tl.arange(0, G * V)[None, :]
    g = block * G + column // V
    place = (o * TAPS + tap) * (GROUPS * PARTS * V) + (g * PARTS + part) * V + column % V
    return place, (o < OUT) & (g < GROUPS)


if ON_GPU:

    @triton.jit
    def settled(x):
        """x; its layout is not that of the matrix product that it goes into, nor is what it is computed from."""
        return tl.inline_asm_elementwise('mov.b32 $0, $1;', '=r,r', [x], tl.float32, is_pure=False, pack=1)

else:

    @triton.jit
    def settled(x):
        return x
