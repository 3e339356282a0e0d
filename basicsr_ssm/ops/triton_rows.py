"""Rows of channels and vectors of states in Triton kernels, as tuples.

A state of a scan is a tuple of N tensors (channels,), B and C of a token are tuples of N numbers: a lane holds all
states of its channels, nothing has to change lanes, and what is read once serves all channels.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_types import ON_GPU


@triton.jit
def _halves(pair, dtype: tl.constexpr):
    """The two numbers of 32 bits."""
    if dtype == tl.bfloat16:  # the upper half of a float32
        out = (pair << 16).to(tl.float32, bitcast=True), (pair & -65536).to(tl.float32, bitcast=True)
    else:
        low, high = pair.to(tl.int16).to(dtype, bitcast=True), (pair >> 16).to(tl.int16).to(dtype, bitcast=True)
        out = low.to(tl.float32), high.to(tl.float32)
    return out


if ON_GPU:

    @triton.jit
    def _four_singles(at):
        return tl.inline_asm_elementwise(
            'ld.global.nc.v4.f32 {$0, $1, $2, $3}, [$4];', '=r,=r,=r,=r,l', [at.to(tl.int64)],
            (tl.float32, tl.float32, tl.float32, tl.float32), is_pure=True, pack=1,
        )  # fmt: skip

    @triton.jit
    def _two_pairs(at):
        """Two pairs of 16 bits, as they lie."""
        return tl.inline_asm_elementwise(
            'ld.global.nc.v2.b32 {$0, $1}, [$2];', '=r,=r,l', [at.to(tl.int64)], (tl.int32, tl.int32),
            is_pure=True, pack=1,
        )  # fmt: skip

    @triton.jit
    def four(at):
        """Four numbers in one request, in float32; `at` is a multiple of their size. Nothing may write there while the
        kernel runs."""
        if at.dtype.scalar.element_ty == tl.float32:
            out = _four_singles(at)
        else:
            a, b = _two_pairs(at)
            out = _halves(a, at.dtype.scalar.element_ty) + _halves(b, at.dtype.scalar.element_ty)
        return out

else:  # the interpreter knows no PTX

    @triton.jit
    def four(at):
        return (
            tl.load(at).to(tl.float32),
            tl.load(at + 1).to(tl.float32),
            tl.load(at + 2).to(tl.float32),
            tl.load(at + 3).to(tl.float32),
        )


@triton.jit
def vector(at, N: tl.constexpr, ALIGNED: tl.constexpr):
    """A token's B or C. ALIGNED: `at` is a multiple of four numbers."""
    out = ()
    for i in tl.static_range(N // 4 if ALIGNED else 0):
        out = out + four(at + 4 * i)
    for n in tl.static_range(N // 4 * 4 if ALIGNED else 0, N):
        out = out + (tl.load(at + n).to(tl.float32),)
    return out


@triton.jit
def row(at, on):
    """A token's channels, (channels,)."""
    return tl.load(at, mask=on, other=0.0).to(tl.float32)


@triton.jit
def rows(at, stride, on, N: tl.constexpr):
    """N of them, `stride` apart."""
    out = ()
    for n in tl.static_range(N):
        out = out + (row(at + n * stride, on),)
    return out


@triton.jit
def nothing(BLOCK: tl.constexpr, N: tl.constexpr):
    out = ()
    for _ in tl.static_range(N):
        out = out + (tl.zeros([BLOCK], tl.float32),)
    return out


@triton.jit
def times(v, factor, N: tl.constexpr):
    out = ()
    for n in tl.static_range(N):
        out = out + (v[n] * factor,)
    return out


@triton.jit
def store_rows(at, stride, v, N: tl.constexpr):
    for n in tl.static_range(N):
        tl.store(at + n * stride, v[n])


@triton.jit
def dot(h, c, N: tl.constexpr):
    """Σ h·c over the states, in two sums, which wait for each other less."""
    even, odd = h[0] * c[0], tl.zeros_like(h[0])
    for n in tl.static_range(1, N):
        if n % 2 == 0:
            even += h[n] * c[n]
        else:
            odd += h[n] * c[n]
    return even + odd
