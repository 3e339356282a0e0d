"""Times, peaks of memory and floors of one case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median

import torch

PASSES = ('forward', 'backward')


@dataclass
class Form:
    """A call and its inputs, which are prepared in the layout that the call likes best; the floats get gradients."""

    call: Callable[..., torch.Tensor]
    tensors: list[torch.Tensor | None]

    def __post_init__(self):
        self.tensors = [
            v.detach().requires_grad_() if v is not None and v.is_floating_point() else v for v in self.tensors
        ]
        self.leaves = [v for v in self.tensors if v is not None and v.requires_grad]


@dataclass
class Case:
    """One shape and dtype of an operator. `work`: operations of the forward pass by unit; backward does `more` times as
    many. `passes`: those that ours has."""

    shape: str
    dtype: torch.dtype
    ours: Form
    reference: Form
    vendor: Form | None = None
    work: dict[str, float] = field(default_factory=dict)
    more: float = 2
    passes: tuple[str, ...] = PASSES


@dataclass
class Rates:
    """Bytes a second; clocks a second of all multiprocessors together; operations a second of matrix products."""

    bandwidth: float
    clocks: float
    tf32: float
    bf16: float

    def seconds(self, unit: str, operations: float, dtype: torch.dtype) -> float:
        rate = {'exponentials': 16 * self.clocks, 'multiply-adds': 128 * self.clocks}
        return operations / rate.get(unit, self.tf32 if dtype == torch.float32 else self.bf16)


def measured(case: Case, rates: Rates, reference: bool) -> Iterator[tuple[str, ...]]:
    """The rows of a case, one a pass."""
    ours, vendor = results(case.ours, case.passes), results(case.vendor, case.passes)
    plain = results(case.reference, case.passes, replayed=False) if reference else None
    for i, name in enumerate(case.passes):
        floor = floor_of(case, rates, i)
        yield (
            case.shape, str(case.dtype).removeprefix('torch.'), name, f'{ours[0][i]:.3f}',
            *beside(vendor, ours, i), *beside(plain, ours, i), f'{floor:.3f}', f'{ours[0][i] / floor:.1f}×',
            f'{ours[1][i]:.0f}', f'{vendor[1][i]:.0f}' if vendor else '',
        )  # fmt: skip


def beside(other, ours, i) -> tuple[str, str]:
    return (f'{other[0][i]:.3f}', f'{other[0][i] / ours[0][i]:.2f}×') if other else ('', '')


def floor_of(case: Case, rates: Rates, i: int) -> float:
    """ms. Backward reads the inputs and the gradient of the result, and writes a gradient for every input."""
    read = sum(v.nbytes for v in case.ours.tensors if v is not None)
    with torch.no_grad():
        result = case.ours.call(*case.ours.tensors).nbytes
    moved = 2 * read + result if i else read + result
    work = max((rates.seconds(unit, n, case.dtype) for unit, n in case.work.items()), default=0)
    return 1e3 * max(moved / rates.bandwidth, work * (case.more if i else 1))


def results(form: Form | None, passes: tuple[str, ...] = PASSES, replayed: bool = True):
    """((forward, backward) ms, (forward, step) MiB beyond what is there before), or None where there is no form; the
    first of each only where `passes` end there."""
    if form is None:
        return None

    def forward():
        with torch.no_grad():
            return form.call(*form.tensors)

    whole = 'backward' in passes
    peaks = [peak(forward)]
    if whole:
        peaks.append(peak(lambda: gradients(form, form.call(*form.tensors))))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # gradients run on the stream of their forward pass
        calls = [forward]
        if whole:
            y = form.call(*form.tensors)
            slope = torch.randn_like(y)
            calls.append(lambda: gradients(form, y, slope))
        times = [of_replays(call, stream) if replayed else timed(call, 5) for call in calls]
    torch.cuda.current_stream().wait_stream(stream)
    return times, peaks


def gradients(form: Form, y: torch.Tensor, slope: torch.Tensor | None = None):
    return torch.autograd.grad(y, form.leaves, torch.randn_like(y) if slope is None else slope, retain_graph=True)


def peak(call) -> float:
    call()  # a first call compiles and tunes
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    result = call()
    torch.cuda.synchronize()
    del result
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def of_replays(call, stream) -> float:
    once = timed(call, 5)
    calls = max(1, min(20, int(1 / once)))  # a graph of a millisecond, beside which its start is nothing
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(calls):
            call()
    return timed(graph.replay, 20) / calls


def timed(call, rounds: int) -> float:
    """Median ms."""
    for _ in range(3):
        call()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(rounds + 1)]
    events[0].record()
    for event in events[1:]:
        call()
        event.record()
    torch.cuda.synchronize()
    return median(a.elapsed_time(b) for a, b in zip(events, events[1:], strict=False))


def copy_bandwidth() -> float:
    """Bytes a second, read and written."""
    source = torch.randn(2**28, device='cuda')
    target = torch.empty_like(source)
    return 2 * source.nbytes / (1e-3 * timed(lambda: target.copy_(source), 10))
