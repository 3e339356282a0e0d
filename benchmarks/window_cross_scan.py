"""Time window_cross_scan on a GPU beside what it replaces.

    python benchmarks/window_cross_scan.py [--rounds 25] [--clock 1.98]

Forms, on the sizes of deformable cross-mamba alignment (9 points, 16 states, float32 and bfloat16 frames):

    triton      this package's kernels, sampling included
    reference   this package's plain PyTorch, sampling included
    vendor      mamba-ssm's selective_scan_cuda on the same sequences, sampled and transposed beforehand; its time has
                neither in it
    unfused     sampling, transposing and selective_scan_cuda, as one would do it without this operator

Times are medians by CUDA events; 'backward' alone, after a forward pass. Peak memory is what a call adds to its inputs:
of a forward pass without gradients, and of a training step with its gradients. The floors are the bytes that have to
be moved once, at --bandwidth, and the decays, at 16 exponentials a clock of a multiprocessor.
"""

from __future__ import annotations

# isort: off
import basicsr_ssm  # noqa: F401  (before torch)

# isort: on
import argparse
from statistics import median

import torch

from basicsr_ssm.ops import window_cross_scan
from basicsr_ssm.ops.cross_scan import sample_points

try:
    import selective_scan_cuda
except ImportError:
    selective_scan_cuda = None

SHAPES = ((1, 180, 320, 120), (1, 64, 64, 240), (8, 64, 64, 120))
POINTS, STATES = 9, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=25)
    parser.add_argument('--clock', type=float, default=1.98, help='GHz')
    parser.add_argument('--bandwidth', type=float, default=4.3, help='TB/s')
    args = parser.parse_args()
    processors = torch.cuda.get_device_properties(0).multi_processor_count
    print(f'{torch.cuda.get_device_name()}, PyTorch {torch.__version__}')
    if selective_scan_cuda is None:
        print('mamba-ssm is not installed: no vendor, no unfused')
    for n, h, w, d in SHAPES:
        pixels = n * h * w
        numbers = n * h * w * (2 * d + STATES) + pixels * (2 * POINTS + STATES + d)
        exponentials = pixels * (POINTS - 1) * d * STATES
        print(
            f'\n{n} × {h} × {w} pixels, {d} channels; floors of the forward pass: bytes '
            f'{4e3 * numbers / args.bandwidth / 1e12:.3f} ms, exponentials '
            f'{exponentials / (processors * 16 * args.clock * 1e6):.3f} ms'
        )
        print(f'{"":16s}{"forward ms":>12s}{"":8s}{"backward ms":>12s}{"":8s}{"peak MiB":>12s}{"":8s}{"training":>12s}')
        compare((n, h, w, d), args.rounds)


def compare(shape, rounds) -> None:
    forms = [('triton', fused('triton')), ('triton, bf16', fused('triton', torch.bfloat16))]
    if selective_scan_cuda is not None:
        forms += [('vendor', ready), ('unfused', unfused)]
    forms += [('reference', fused('reference'))]
    first = None
    for name, form in forms:
        forward, backward = form(inputs(*shape))
        torch.cuda.empty_cache()
        results = [*timed(forward, backward, rounds), *peaks(forward, backward)]
        first = first or results
        cells = ''.join(
            f'{r:12.3f}' + (f' {r / f:6.1f}×' if name != 'triton' and f else ' ' * 8)
            for r, f in zip(results, first, strict=True)
        )
        print(f'{name:16s}{cells}', flush=True)
        del forward, backward


def inputs(n, h, w, d) -> list[torch.Tensor]:
    """As alignment has them: a smooth flow, offsets of the points within a pixel, steps of 0.001 to 0.1 at first."""
    g = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing='ij')
    flow = 4 * torch.randn(n, 2, h // 8 + 1, w // 8 + 1, generator=g)
    flow = torch.nn.functional.interpolate(flow, size=(h, w), mode='bilinear').permute(0, 2, 3, 1)
    whole = torch.stack([x, y], -1) + flow
    whole = whole.clamp(min=0).minimum(torch.tensor([w - 1.0, h - 1.0])).floor()
    region = torch.tensor([(x, y) for y in (-1.0, 0, 1) for x in (-1.0, 0, 1)])
    offsets = torch.tanh(torch.randn(n, h, w, POINTS, 2, generator=g))
    encoding = 0.1 * torch.randn(POINTS, 2 * d + STATES, generator=g)
    encoding[:, d : 2 * d] += torch.empty(d).uniform_(-6.9, -2.3, generator=g).exp().expm1().log()
    tensors = (
        0.5 * torch.randn(n, h, w, 2 * d + STATES, generator=g),
        whole.unsqueeze(3) + region + offsets,
        encoding,
        torch.randn(n, h, w, STATES, generator=g),
        -torch.arange(1.0, STATES + 1).repeat(d, 1),
        torch.ones(d),
    )
    return [v.cuda() for v in tensors]


def fused(backend, dtype=torch.float32):
    def form(tensors):
        tensors = [v.to(dtype) if i in (0, 3) else v for i, v in enumerate(tensors)]
        leaves = [v.requires_grad_() for v in tensors]

        def forward():
            return window_cross_scan(*leaves, backend=backend)

        def backward(y):
            return torch.autograd.grad(y, leaves, torch.ones_like(y), retain_graph=True)

        return forward, backward

    return form


def ready(tensors):
    """selective_scan_cuda on sequences that are there: (pixels, d, k)."""
    u, delta, B, C = sequences(*tensors[:4])
    return scan(u, delta, B, C, *tensors[4:])


def scan(u, delta, B, C, A, D):
    def forward():
        return selective_scan_cuda.fwd(u, delta, A, B, C, D, None, None, True)[:2]

    def backward(y):
        out, x = y
        return selective_scan_cuda.bwd(
            u, delta, A, B, C, D, None, None, torch.ones_like(out), x, None, None, True, False
        )  # fmt: skip

    return forward, backward


def sequences(frame, positions, encoding, C):
    d = (frame.shape[-1] - STATES) // 2
    samples = (sample_points(frame, positions) + encoding).flatten(0, 2).mT  # (pixels, 2d + s, k)
    u, delta, B = (v.contiguous() for v in samples.split([d, d, STATES], dim=1))
    C = C.flatten(0, 2)[:, None, :, None].expand(-1, 1, -1, positions.shape[3]).contiguous()
    return u, delta, B[:, None], C


def unfused(tensors):
    *sampled, A, D = tensors
    sampled = [v.requires_grad_() for v in sampled]

    def forward():
        u, delta, B, C = graph = sequences(*sampled)
        steps = scan(u, delta, B, C, A, D)
        y = steps[0]()
        return y[0][:, :, -1].contiguous(), y, steps[1], graph

    def backward(results):
        _, y, scan_backward, graph = results
        du, ddelta, _, dB, dC, *_ = scan_backward(y)
        grads = [du, ddelta, dB.to(graph[2].dtype).view_as(graph[2]), dC.to(graph[3].dtype).view_as(graph[3])]
        return torch.autograd.grad(graph, sampled, grads, retain_graph=True)

    return forward, backward


def timed(forward, backward, rounds):
    """Median ms of both."""
    with torch.no_grad():
        forward_ms = medians(forward, rounds)
    y = forward()
    backward_ms = medians(lambda: backward(y), rounds)
    return forward_ms, backward_ms


def medians(call, rounds):
    for _ in range(3):
        call()
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(rounds)]
    for start, end in events:
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return median(start.elapsed_time(end) for start, end in events)


def peaks(forward, backward):
    """MiB over what is there before: of a forward pass without gradients, of a training step."""

    def peak(call):
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        result = call()
        torch.cuda.synchronize()
        del result
        return (torch.cuda.max_memory_allocated() - before) / 2**20

    with torch.no_grad():
        alone = peak(forward)
    return alone, peak(lambda: backward(forward()))


if __name__ == '__main__':
    main()
