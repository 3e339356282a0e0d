"""The matrix product of Triton kernels.

Of a float32 number that it gets, a matrix unit in TF32 drops the last 13 binary digits (the PTX manual, of
wgmma.mma_async). That makes every product smaller by 7·10⁻⁴ on average, which no sum evens out, and which grows from
frame to frame of a recurrent network. So either the numbers are rounded first, where they pass through registers, or
the sum is made larger by as much.
"""

import math

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_types import ON_GPU

# What numbers lose where all orders of magnitude are equally frequent: between m = 1 and 2, 2⁻¹¹ of m with the density
# 1 / (m ln 2), so 2⁻¹² / ln 2 on average; twice that, as both factors lose.
_LOST = 2**-11 / math.log(2)
_MADE_GOOD = tl.constexpr(1 + _LOST)


@triton.jit
def leading(x):
    """x without the digits that TF32 drops."""
    return (x.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)


if ON_GPU:

    @triton.jit
    def product_of_cut(a, b, acc):
        """acc (or None) + a·b; float32 goes into the matrix unit as it is, which can read it from shared memory then.
        The whole sum is for `made_good`."""
        return tl.dot(a, b, acc=acc, input_precision='tf32')

    @triton.jit
    def made_good(acc, dtype: tl.constexpr):
        """A sum of such products, of numbers of that dtype, without what they lost on average."""
        if dtype == tl.float32:
            return acc * _MADE_GOOD
        return acc

    @triton.jit
    def rounded(x):
        """x, of float32 what becomes the nearest number that TF32 has once the matrix unit drops digits."""
        if x.dtype == tl.float32:
            return (x.to(tl.int32, bitcast=True) + 4096).to(tl.float32, bitcast=True)
        return x

else:  # the interpreter drops nothing, and multiplies the bits of bfloat16

    @triton.jit
    def product_of_cut(a, b, acc):
        return tl.dot(a.to(tl.float32), b.to(tl.float32), acc=acc)

    @triton.jit
    def made_good(acc, dtype: tl.constexpr):
        return acc

    @triton.jit
    def rounded(x):
        return x


@triton.jit
def product(a, b, acc, EXACT: tl.constexpr = False):
    """acc (or None) + a·b, of float32 in TF32. EXACT: in float32, as three products of TF32 numbers; Triton's own three
    also look for NaNs."""
    if EXACT:
        a_first, b_first = leading(a), leading(b)
        y = product_of_cut(a - a_first, b_first, acc)
        y = product_of_cut(a_first, b - b_first, y)
        return product_of_cut(a_first, b_first, y)
    return product_of_cut(rounded(a), rounded(b), acc)
