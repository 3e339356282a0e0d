"""What the kernels of the selective scan share: how tokens are read. A comes times log2(e).

Exponentials made of multiply-adds, one in 4 or 8, gained nothing on an H200.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_types import ON_GPU

# arguments that change from clip to clip: a value of 1 or a multiple of 16 must not mean another compilation
VARYING = ('CHUNK', 'TILES', 'batch', 'length', 'chunks', 'blocks', 'groups', 'parts', 'total', 'reverse')


if ON_GPU:

    @triton.jit
    def _to_cache(at):
        tl.inline_asm_elementwise(
            'prefetch.global.L2 [$1]; mov.b32 $0, 0;', '=r,l', [at.to(tl.int64)], tl.int32, is_pure=False, pack=1
        )

else:

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
def column(at, on, PADDED: tl.constexpr):
    """A token's B or C, (states, 1)."""
    return (tl.load(at, mask=on, other=0.0) if PADDED else tl.load(at)).to(tl.float32)


@triton.jit
def row(at, on):
    """A token's channels, (1, channels)."""
    return tl.load(at, mask=on, other=0.0).to(tl.float32)
