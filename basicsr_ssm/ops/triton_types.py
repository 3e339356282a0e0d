"""Whether kernels are compiled or interpreted, and types of arguments that depend on it."""

import triton
import triton.language as tl


@triton.jit
def _a_jit_function():
    pass


ON_GPU = isinstance(_a_jit_function, triton.JITFunction)  # and not in the interpreter

# A number of turns that changes from call to call and shall not mean another compilation. The interpreter knows no
# loops of a length that is only known when a kernel runs. In an annotation it has to be an attribute of this module:
# Triton reads no global variables there.
LOOP_LENGTH = 'i32' if ON_GPU else tl.constexpr
