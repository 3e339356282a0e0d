"""Compiles the Triton kernels that calls would launch, for a GPU that is not there."""

import torch

TARGET = ('cuda', 90, 32)
TYPES = {
    torch.float32: 'fp32', torch.bfloat16: 'bf16', torch.float16: 'fp16', torch.int64: 'i64', torch.int32: 'i32',
}  # fmt: skip


def compile_launches(monkeypatch):
    """From now on a launch compiles its kernel and does not run it. Returns the list of what was compiled: machine code
    by name, as it grows."""
    from triton.runtime.jit import JITFunction

    compiled = []

    def run(self, *args, grid, warmup, **options):
        given = dict(zip([p.name for p in self.params], args, strict=False))
        given |= {p.name: options.pop(p.name) for p in self.params if p.name in options}
        compiled.append((self.fn.__name__, compile_kernel(self, given, options)))

    monkeypatch.setattr(JITFunction, 'run', run)
    return compiled


def compile_kernel(kernel, given, options):
    """As the launcher does it: None and 1 are constants, multiples of 16 are known to be such."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, constants, divisible = {}, {}, {}

    def describe(value, path, specialized):
        if isinstance(value, tuple):  # whose elements are specialized whatever the kernel says
            return tuple(describe(element, (*path, i), True) for i, element in enumerate(value))
        if value is None or (type(value) is int and value == 1 and specialized):
            constants[path] = value
            return 'constexpr'
        if isinstance(value, torch.Tensor) or (type(value) is int and value % 16 == 0 and specialized):
            divisible[path] = [['tt.divisibility', 16]]
        if isinstance(value, torch.Tensor):
            return '*' + TYPES[value.dtype]
        return {bool: 'i1', float: 'fp32'}.get(type(value)) or ('i32' if abs(value) < 2**31 else 'i64')

    for i, parameter in enumerate(kernel.params):
        name, value = parameter.name, given[parameter.name]
        if parameter.is_constexpr:
            signature[name], constants[i,] = 'constexpr', value
        else:
            signature[name] = describe(value, (i,), not parameter.do_not_specialize)
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=divisible)
    return triton.compile(source, target=GPUTarget(*TARGET), options=options).asm['cubin']
