"""Functions of single numbers for Triton kernels.

Exponentials are what the scans are bound by, 16 a clock on a multiprocessor that does 128 multiply-adds; so exponents
come times log2(e), and what else is needed is made of multiply-adds.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_types import ON_GPU

LOG2E = tl.constexpr(1.4426950408889634)

if ON_GPU:

    @triton.jit
    def exp2(x):
        """2^x, below −126 as good as 0."""
        return tl.inline_asm_elementwise('ex2.approx.ftz.f32 $0, $1;', '=r,r', [x], tl.float32, is_pure=True, pack=1)

    @triton.jit
    def reciprocal(x):
        """To one unit in the last place; `/` takes several times the instructions."""
        return tl.inline_asm_elementwise('rcp.approx.ftz.f32 $0, $1;', '=r,r', [x], tl.float32, is_pure=True, pack=1)

else:  # the interpreter knows no PTX

    @triton.jit
    def exp2(x):
        return tl.exp2(x)

    @triton.jit
    def reciprocal(x):
        return 1.0 / x


@triton.jit
def sigmoid(x):
    return reciprocal(1.0 + exp2(x * -LOG2E))


@triton.jit
def silu_slope(x):
    gate = sigmoid(x)
    return gate * (1.0 + x * (1.0 - gate))


@triton.jit
def softplus(x):
    """max(x, 0) + log1p(exp(−|x|)); log1p(e) = e times a polynomial, to 1e-7 of its value."""
    e = exp2(tl.abs(x) * -LOG2E)
    p = tl.fma(e, -0.0031760570127516985, 0.019542528316378593)
    p = tl.fma(p, e, -0.05637361481785774)
    p = tl.fma(p, e, 0.10543623566627502)
    p = tl.fma(p, e, -0.1526966691017151)
    p = tl.fma(p, e, 0.1966327428817749)
    p = tl.fma(p, e, -0.24951615929603577)
    p = tl.fma(p, e, 0.33329710364341736)
    p = tl.fma(p, e, -0.49999892711639404)
    p = tl.fma(p, e, 1.0)
    return tl.fma(p, e, tl.maximum(x, 0.0))
