"""What the kernels of the windowed cross scan share: where a point lies, and samples. A comes times log2(e)."""

import triton
import triton.language as tl

LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def add_exactly(sum, rest, x):
    """sum + rest + x with the digits that sum can't hold in rest (Knuth's two-sum)."""
    total = sum + x
    added = total - sum
    return total, rest + ((sum - (total - added)) + (x - added))


@triton.jit
def split_point(positions, place, width, height, row_step, STEP: tl.constexpr, WIDE: tl.constexpr):
    """`split_position` of position number `place`."""
    x, y = tl.load(positions + 2 * place), tl.load(positions + 2 * place + 1)
    return split_position(x, y, width, height, row_step, STEP, WIDE)


@triton.jit
def split_position(x, y, width, height, row_step, STEP: tl.constexpr, WIDE: tl.constexpr):
    """The four corners around a position in its image, and the point between them.

    Returns the offsets of the corners (left and right of the upper row, then of the lower one), the fractions fx, fy,
    and where the position is free to move, in x and in y.
    """
    last_x = (width - 1) * 1.0  # a size of 1 is a Python number here
    last_y = (height - 1) * 1.0
    free_x = (x > 0) & (x < last_x)
    free_y = (y > 0) & (y < last_y)
    x = tl.minimum(tl.maximum(x, 0.0), last_x)
    y = tl.minimum(tl.maximum(y, 0.0), last_y)
    left = x.to(tl.int32)
    upper = y.to(tl.int32)
    fx = x - left.to(tl.float32)
    fy = y - upper.to(tl.float32)
    right = tl.minimum(left + 1, width - 1)
    lower = tl.minimum(upper + 1, height - 1)
    if WIDE:
        upper = upper.to(tl.int64)
        lower = lower.to(tl.int64)
    left *= STEP
    right *= STEP
    upper *= row_step
    lower *= row_step
    return upper + left, upper + right, lower + left, lower + right, fx, fy, free_x, free_y


@triton.jit
def read(place, on):
    """Numbers in float32; on: None for all."""
    if on is None:
        return tl.load(place).to(tl.float32)
    else:
        return tl.load(place, mask=on, other=0.0).to(tl.float32)


@triton.jit
def read_corners(image, a, b, c, d, on):
    return read(image + a, on), read(image + b, on), read(image + c, on), read(image + d, on)


@triton.jit
def mix(a, b, c, d, fx, fy, shift):
    """The bilinear sample between four corners, + shift. No two compilers add in another order: all is `fma`."""
    both = fx * fy
    s = tl.fma(1.0 - fx - fy + both, a, shift)
    s = tl.fma(fx - both, b, s)
    s = tl.fma(fy - both, c, s)
    return tl.fma(both, d, s)


@triton.jit
def blend(image, a, b, c, d, fx, fy, on, shift):
    """The sample at a point, + shift."""
    a, b, c, d = read_corners(image, a, b, c, d, on)
    return mix(a, b, c, d, fx, fy, shift)


@triton.jit
def blend_with_slopes(image, a, b, c, d, fx, fy, on, shift):
    """The sample as `blend` gives it, and its derivatives by x and y."""
    a, b, c, d = read_corners(image, a, b, c, d, on)
    across = b - a
    twist = d - c - across
    return mix(a, b, c, d, fx, fy, shift), tl.fma(fy, twist, across), tl.fma(fx, twist, c - a)


@triton.jit
def spread(image, a, b, c, d, fx, fy, value, on, scale, FIXED: tl.constexpr):
    """Adds a sample's gradient to the four corners' ones. FIXED: as integers, times scale, so that no order matters."""
    lower = fx * fy
    _add(image + a, (1.0 - fx - fy + lower) * value, on, scale, FIXED)
    _add(image + b, (fx - lower) * value, on, scale, FIXED)
    _add(image + c, (fy - lower) * value, on, scale, FIXED)
    _add(image + d, lower * value, on, scale, FIXED)


@triton.jit
def _add(place, value, on, scale, FIXED: tl.constexpr):
    if FIXED:
        tl.atomic_add(place, (value * scale).to(tl.int64), mask=on, sem='relaxed')
    else:
        tl.atomic_add(place, value, mask=on, sem='relaxed')
