"""Time the windowed SSD of MedVSR beside the same steps in mamba-ssm's and causal-conv1d's kernels, on a GPU.

    python benchmarks/windowed_ssd.py [--windows 108 1024] [--configs 3]

Windows of 16×16 tokens, 64 channels: 108 are those of a 144×180 frame, 1,024 those of 512×512. The other path is
causal_conv1d_fn on [u, B] and on C, a depthwise conv2d for `pe`, mamba_chunk_scan_combined with one chunk and
layernorm_gated's norm (cross form), or LayerNorm of the concatenation (inner form). causal-conv1d wants rows of a
multiple of 8 numbers, so its inputs are copied out of the projection first, as any caller has to.

mamba-ssm's kernels try up to a dozen configurations each when first called, for minutes. Here each keeps --configs of
them, evenly spread over its list; 0 keeps all.

`called` is the time between CUDA events around a call, gaps between launches included; `replayed` that of a CUDA graph
of the call, GPU work alone. Medians of 30. The floor: each input read and each result written once at the bandwidth of
a copy, measured here, or the recurrence's operations at 51 TFLOP/s, whichever is longer.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from statistics import median
from types import ModuleType

import torch
import torch.nn.functional as F

import basicsr_ssm  # noqa: F401
from basicsr_ssm.ops import cross_window_ssd, inner_window_ssd

TOKENS, WINDOW, CHANNELS = 256, 16, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--windows', type=int, nargs='+', default=[108, 1024])
    parser.add_argument('--configs', type=int, default=3, help='configurations that a kernel of mamba-ssm may try')
    parser.add_argument('--compile-one', type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    mamba_without_its_models()
    if args.compile_one is not None:
        compile_one(args.compile_one, args.configs)
        return
    # compiling is serial within a process, so every configuration gets one of its own
    workers = [
        subprocess.Popen([sys.executable, __file__, f'--compile-one={i}', f'--configs={args.configs}'])
        for i in range(args.configs or 12)
    ]
    for worker in workers:
        worker.wait()
    limit_configs(range(args.configs) if args.configs else None, args.configs)

    bandwidth = copy_bandwidth()
    print(f'{torch.cuda.get_device_name()}, torch {torch.__version__}, copy {bandwidth / 1e12:.2f} TB/s; times in µs')
    print(f'{"":44s}{"called":>26s}{"replayed":>28s}{"floor":>8s}')
    print(f'{"":44s}{"ours":>8s}{"theirs":>9s}{"ratio":>9s}{"ours":>10s}{"theirs":>9s}{"ratio":>9s}')
    for name, (ours, theirs, make) in FORMS.items():
        for dtype in (torch.float32, torch.bfloat16):
            for windows in args.windows:
                tensors = make(windows, dtype)
                report(f'{name:6s}{str(dtype)[6:]:9s}{windows:5d} windows', ours, theirs, tensors, bandwidth)


def report(title, ours, theirs, tensors, bandwidth) -> None:
    off = max(difference(a, b) for a, b in zip(step(ours, tensors), step(theirs, tensors), strict=True))
    floors = floor(tensors, bandwidth)
    called, replayed = {}, {}
    for what, run in (('forward', forward), ('forward + backward', step)):
        for path in (ours, theirs):
            called[what, path] = timed(lambda run=run, path=path: run(path, tensors))
            replayed[what, path] = timed(graph_of(lambda run=run, path=path: run(path, tensors)).replay)
    for path in (ours, theirs):
        called['backward', path] = timed(backward_of(path, tensors))
        replayed['backward', path] = replayed['forward + backward', path] - replayed['forward', path]
    for what in ('forward', 'backward', 'forward + backward'):
        columns = ''.join(
            f'{times[what, ours]:10.1f}{times[what, theirs]:9.1f}{times[what, theirs] / times[what, ours]:8.1f}×'
            for times in (called, replayed)
        )
        print(f'{title} {what:19s}{columns[2:]}{floors[what]:8.1f}')
    print(f'{title} largest relative difference of a result or gradient {off:.0e}', flush=True)


def forward(path, tensors):
    with torch.no_grad():
        return [path(*tensors)]


def step(path, tensors):
    y = path(*tensors)
    return [y.detach(), *torch.autograd.grad(y, tensors, grad_for(y))]


def backward_of(path, tensors):
    y = path(*tensors)
    grad = grad_for(y)
    return lambda: torch.autograd.grad(y, tensors, grad, retain_graph=True)


_GRADS = {}


def grad_for(y):
    key = y.shape, y.dtype
    if key not in _GRADS:
        _GRADS[key] = torch.randn(y.shape, device='cuda').to(y.dtype)
    return _GRADS[key]


def difference(a, b) -> float:
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


def timed(call, repeats=30) -> float:
    for _ in range(5):
        call()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(1e3 * start.elapsed_time(end))
    return median(times)


def graph_of(call):
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        call()
    return graph


def copy_bandwidth() -> float:
    source = torch.randn(2**28, device='cuda')
    target = torch.empty_like(source)
    return 2 * source.nbytes / (1e-6 * timed(lambda: target.copy_(source)))


def floor(tensors, bandwidth) -> dict[str, float]:
    """µs."""
    read = sum(v.nbytes for v in tensors)
    windows, tokens = tensors[0].shape[:2]
    heads = tensors[-3].shape[0]
    out = windows * tokens * CHANNELS * tensors[0].element_size()
    work = windows * tokens * heads * 256 * 5 / 51e12  # state update 3, readout 2 operations a number of the state
    forward = max((read + out) / bandwidth, work)
    backward = max((2 * read + out) / bandwidth, 3 * work)
    return {'forward': 1e6 * forward, 'backward': 1e6 * backward, 'forward + backward': 1e6 * (forward + backward)}


def cross_inputs(windows, dtype):
    d, h = CHANNELS, CHANNELS // 16
    return inputs(
        (windows, TOKENS, 2 * d + 16 + h), dtype, (windows, TOKENS, 16), (d + 16, 3), (d + 16,), (16, 3), (16,),
        (16, 3, 3), heads=h, norm=((d,),),
    )  # fmt: skip


def inner_inputs(windows, dtype):
    d, h = CHANNELS // 2, CHANNELS // 32
    projected = (windows, TOKENS, 2 * d + 32 + h)
    return inputs(projected, dtype, (d + 32, 3), (d + 32,), heads=h, norm=((2 * d,), (2 * d,)))


def inputs(projected, dtype, *shapes, heads, norm):
    """Activations in dtype, parameters in float32 as under autocast; steps and decays as at the start of training."""
    g = torch.Generator('cuda').manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=g, device='cuda')

    step = torch.exp(torch.empty(heads, device='cuda').uniform_(-6.9, -2.3, generator=g))
    tensors = [normal(*projected).to(dtype)]
    for shape in shapes:
        activation = len(shape) == 3 and shape[1] == TOKENS
        tensors.append(normal(*shape).to(dtype) if activation else 0.3 * normal(*shape))
    tensors += [step.expm1().log(), torch.empty(heads, device='cuda').uniform_(1, 16, generator=g).log(), normal(heads)]
    tensors += [1 + 0.1 * normal(*shape) for shape in norm]
    return [v.requires_grad_() for v in tensors]


def our_cross(*tensors):
    return cross_window_ssd(*tensors, backend='triton')


def our_inner(*tensors):
    return inner_window_ssd(*tensors, backend='triton')


def conv(x, weight, bias):
    from causal_conv1d import causal_conv1d_fn

    x = x.contiguous().transpose(1, 2)
    return causal_conv1d_fn(x, weight.to(x.dtype), bias.to(x.dtype), activation='silu').transpose(1, 2)


def scan(u, dt, B, C, dt_bias, A_log, D):
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    u, B, C = u.unflatten(2, (-1, 16)), B.unsqueeze(2), C.unsqueeze(2)
    y = mamba_chunk_scan_combined(u, dt, -A_log.exp(), B, C, TOKENS, D=D, dt_bias=dt_bias, dt_softplus=True)
    return y.flatten(2)


def their_cross(projected, readout, weight, bias, readout_weight, readout_bias, pe, dt_bias, A_log, D, gain):
    from mamba_ssm.ops.triton.layernorm_gated import rmsnorm_fn

    d, h = gain.shape[0], A_log.shape[0]
    z, u_B, dt = projected.split([d, d + 16, h], 2)
    u, B = conv(u_B, weight, bias).split([d, 16], 2)
    C = conv(readout, readout_weight, readout_bias)
    C = C.mT.unflatten(2, (WINDOW, WINDOW))
    C = F.conv2d(C, pe.to(C.dtype).unsqueeze(1), padding=1, groups=16).flatten(2).mT
    y = scan(u, dt, B, C, dt_bias, A_log, D)
    return rmsnorm_fn(y, gain, None, z=z, eps=1e-5, norm_before_gate=False)


def their_inner(projected, weight, bias, dt_bias, A_log, D, gain, shift):
    h = A_log.shape[0]
    d = 16 * h
    z, u_B_C, dt = projected.split([d, d + 32, h], 2)
    u, B, C = conv(u_B_C, weight, bias).split([d, 16, 16], 2)
    y = torch.cat([scan(u, dt, B, C, dt_bias, A_log, D), z], 2)
    return F.layer_norm(y, gain.shape, gain.to(y.dtype), shift.to(y.dtype))


FORMS = {'cross': (our_cross, their_cross, cross_inputs), 'inner': (our_inner, their_inner, inner_inputs)}


def mamba_without_its_models() -> None:
    """mamba_ssm's own __init__ imports language models, and those a release of transformers that may not be there."""
    if 'mamba_ssm' not in sys.modules:
        package = ModuleType('mamba_ssm')
        package.__path__ = list(find_spec('mamba_ssm').submodule_search_locations)
        sys.modules['mamba_ssm'] = package


def limit_configs(indices, of) -> None:
    """Of every autotuned kernel of mamba-ssm, only these of `of` configurations evenly spread over its list."""
    import mamba_ssm.ops.triton.layernorm_gated
    import mamba_ssm.ops.triton.ssd_combined  # noqa: F401
    from triton.runtime.autotuner import Autotuner

    if indices is None:
        return
    for tuner in (v for v in gc.get_objects() if isinstance(v, Autotuner)):
        count = len(tuner.configs)
        of_it = min(of or count, count)
        tuner.configs = [tuner.configs[i * count // of_it] for i in sorted({i % of_it for i in indices})]


def compile_one(index, of) -> None:
    from triton.runtime.errors import OutOfResources

    if index < (of or 12):
        limit_configs([index], of)
    for _, theirs, make in FORMS.values():
        for dtype in (torch.float32, torch.bfloat16):
            with suppress(OutOfResources):  # a tuner passes over such a configuration, if it has others
                step(theirs, make(2, dtype))
    if index == 0:
        for ours, _, make in FORMS.values():
            for dtype in (torch.float32, torch.bfloat16):
                step(ours, make(2, dtype))


if __name__ == '__main__':
    main()
