"""The matrix product of Triton kernels."""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_types import ON_GPU

if ON_GPU:

    @triton.jit
    def product(a, b, acc):
        """acc + a·b, of float32 in TF32."""
        return tl.dot(a, b, acc=acc, input_precision='tf32')

else:  # the interpreter multiplies the bits of bfloat16

    @triton.jit
    def product(a, b, acc):
        return tl.dot(a.to(tl.float32), b.to(tl.float32), acc=acc)
