"""What the kernels of the selective scan share: how tokens are read, and the step from one state to the next.

States, B and C are tuples, see `triton_rows`. The warps of a program walk over the same tokens side by side and never
wait for each other.

Exponentials made of multiply-adds, one in 4 or 8, gained nothing on an H200.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_math import exp2
from basicsr_ssm.ops.triton_types import ON_GPU

# arguments that change from clip to clip: a value of 1 or a multiple of 16 must not mean another compilation
VARYING = ('CHUNK', 'TILES', 'batch', 'length', 'chunks', 'blocks', 'reverse', 'groups', 'parts', 'total')


if ON_GPU:

    @triton.jit
    def _to_cache(at):
        tl.inline_asm_elementwise(
            'prefetch.global.L2 [$1]; mov.b32 $0, 0;', '=r,l', [at.to(tl.int64)], tl.int32, is_pure=False, pack=1
        )

else:  # the interpreter knows no PTX

    @triton.jit
    def _to_cache(at):
        pass


@triton.jit
def fetch(start, t, count, stride, number, numbers, TOKENS: tl.constexpr, WIDTH: tl.constexpr):
    """Has the second-level cache read some tokens of a chunk that will be loaded later: few warps have room on a
    multiprocessor, and each waits long for memory. One request for 8 numbers, 32 bytes at most.

    start: the first token of the chunk, stride: to the one that is walked to next, t: the first to read; of a token,
    WIDTH numbers from `number` on, as far as there are so many.
    """
    t = tl.minimum(tl.maximum(t + tl.arange(0, TOKENS)[:, None], 0), count - 1)
    _to_cache(start + t * stride + tl.minimum(number + tl.arange(0, WIDTH // 8)[None, :] * 8, numbers - 1))


@triton.jit
def fetch_vectors(start, t, count, stride, N: tl.constexpr, TOKENS: tl.constexpr):
    """`fetch` of some tokens' B or C."""
    fetch(start, t, count, stride, 0, N, TOKENS, 16 if N <= 16 else 32)


@triton.jit
def advance(h, step, x, b, rates, N: tl.constexpr):
    """The state after a token: exp(δ·A)·h + δ·x·b."""
    pushed = step * x
    out = ()
    for n in tl.static_range(N):
        out = out + (exp2(step * rates[n]) * h[n] + pushed * b[n],)
    return out


@triton.jit
def advance_slope(g, step, dy, c, rates, N: tl.constexpr):
    """The gradient of the state before a token: exp(δ·A)·(g + dy·c)."""
    out = ()
    for n in tl.static_range(N):
        out = out + (exp2(step * rates[n]) * (g[n] + dy * c[n]),)
    return out
