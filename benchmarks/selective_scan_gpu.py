"""Time selective_scan's Triton backend on a GPU beside mamba-ssm's selective_scan_cuda, if that is installed.

    python benchmarks/selective_scan_gpu.py [--rounds 30] [--dtype float32] [--no-backward]

Both run in one process, on the same numbers: ours token-major, theirs channel-major, which is prepared outside the
timing. Times are medians of CUDA events after a warm-up. Backward is the gradient of all inputs, the graph given. The
floors: each tensor moved once at --bandwidth, and one exponential a state at --rate.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import types
from statistics import median

import torch

from basicsr_ssm.ops import selective_scan

SHAPES = ((1, 240, 172800), (8, 240, 12288), (4096, 240, 9))
STATES = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=30)
    parser.add_argument('--dtype', default='float32', choices=('float32', 'bfloat16', 'float16'))
    parser.add_argument('--no-backward', action='store_true')
    parser.add_argument('--bandwidth', type=float, default=4.3, help='TB/s')
    parser.add_argument('--rate', type=float, default=132 * 16 * 1.755e9, help='exponentials a second')
    args = parser.parse_args()
    theirs = mamba()
    print(f'{torch.cuda.get_device_name()}, torch {torch.__version__}, {args.dtype}, {STATES} states; ms, medians')
    print(f'{"(b, d, l)":18s} {"what":24s} {"ours":>8s} {"mamba-ssm":>10s} {"ratio":>6s}  floor: bytes, exponentials')
    for shape in SHAPES:
        for gate in (False, True):
            for both in (False, True):
                compare(shape, gate, both, theirs, args)


def mamba():
    """selective_scan_fn, or None. The package's own __init__ imports its language models and what these need."""
    spec = importlib.util.find_spec('mamba_ssm')
    if spec is None:
        print('mamba-ssm is not installed')
        return None
    package = types.ModuleType('mamba_ssm')
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules['mamba_ssm'] = package
    return importlib.import_module('mamba_ssm.ops.selective_scan_interface').selective_scan_fn


def compare(shape, gate, both, theirs, args) -> None:
    tensors = inputs(*shape, gate, both, getattr(torch, args.dtype))
    b, d, length = shape
    numbers = b * d * length
    size = tensors[0].element_size()
    exponentials = numbers * STATES * (1 + both) / args.rate * 1e3
    moved = numbers * size * (3 + gate) / args.bandwidth / 1e9
    name = ('both' if both else 'forward only') + (', gate' if gate else '')

    def ours():
        return selective_scan(*tensors, delta_softplus=True, direction='both' if both else 'forward', backend='triton')

    forms = [ours]
    if theirs is not None:
        channel_major = [v.detach().mT.contiguous() if v is not None and v.dim() == 3 and i != 2 else v
                         for i, v in enumerate(tensors)]  # fmt: skip
        channel_major = [None if v is None else v.detach().requires_grad_() for v in channel_major]
        forms.append(lambda: two_calls(theirs, *channel_major) if both else call(theirs, *channel_major))
    with torch.no_grad():
        times = [timed(form, args.rounds) for form in forms]
    report(shape, name, times, moved, exponentials)
    if args.no_backward:
        return
    times = []
    for form, given in zip(forms, (tensors, channel_major if theirs else None), strict=False):
        y, given = form(), [v for v in given if v is not None]
        slope = torch.randn_like(y)
        times.append(
            timed(
                lambda y=y, given=given, slope=slope: torch.autograd.grad(y, given, slope, retain_graph=True),
                args.rounds,
            )
        )
        del y
    report(shape, f'backward of {name}', times, moved * (5 + 2 * gate) / (3 + gate), exponentials)


def call(scan, u, delta, A, B, C, D, z, bias):
    return scan(u, delta, A, B, C, D, z, bias, delta_softplus=True)


def two_calls(scan, u, delta, A, B, C, D, z, bias):
    y = scan(u, delta, A[0], B, C, D[0], None, bias, delta_softplus=True)
    back = [v.flip(2) for v in (u, delta, B, C)]
    y = y + scan(*back[:2], A[1], *back[2:], D[1], None, bias, delta_softplus=True).flip(2)
    return y if z is None else y * torch.nn.functional.silu(z)


def report(shape, name, times, moved, exponentials) -> None:
    row = f'{str(shape):18s} {name:24s} {times[0]:8.3f}'
    row += f' {times[1]:10.3f} {times[1] / times[0]:6.2f}' if len(times) > 1 else f' {"":10s} {"":6s}'
    print(f'{row}  {moved:.3f}, {exponentials:.3f}', flush=True)


def timed(form, rounds) -> float:
    for _ in range(5):
        form()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(rounds + 1)]
    events[0].record()
    for event in events[1:]:
        form()
        event.record()
    torch.cuda.synchronize()
    return median(a.elapsed_time(b) for a, b in zip(events, events[1:], strict=False))


def inputs(b, d, length, gate, both, dtype):
    """As a Mamba block has them at the start of training: A = −1 … −n, steps of 0.001 to 0.1 (Gu & Dao, Sec. 3.6)."""
    g = torch.Generator('cuda').manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=g, device='cuda').to(dtype)

    sets = (2,) if both else ()
    step = torch.exp(torch.empty(d, device='cuda').uniform_(-6.9, -2.3, generator=g))
    tensors = (
        normal(b, length, d),
        0.3 * normal(b, length, d),
        -torch.arange(1, STATES + 1.0, device='cuda').repeat(*sets, d, 1),
        normal(b, length, STATES),
        normal(b, length, STATES),
        torch.ones(*sets, d, device='cuda'),
        normal(b, length, d) if gate else None,
        step + torch.log(-torch.expm1(-step)),
    )
    return [None if v is None else v.requires_grad_() for v in tensors]


if __name__ == '__main__':
    main()
