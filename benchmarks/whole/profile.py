"""The kernels of one network that take the most time."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity

from basicsr_ssm.tables.measurements.networks import build
from basicsr_ssm.tables.measurements.running import prepared
from whole.cases import Inference
from whole.inference import how

COLUMNS = ('kernel', 'calls', 'ms', 'share')
_MOST = 20
_LONGEST = 90  # letters of a name


def rows(case: Inference, mode: str, short: bool, device: str) -> Iterator[tuple[str, str, str, str]]:
    """Of one call, the longest first, and all others together."""
    torch.manual_seed(0)
    t, *size = case.clip(short)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == 'cuda' else [])]
    clip = torch.rand(1, t, 3, *size, device=device)
    with prepared(build(case.network), how(mode, device)) as run:
        for _ in range(2):
            run(clip)
        with torch.profiler.profile(activities=activities) as profiler:
            run(clip)
            if device == 'cuda':
                torch.cuda.synchronize()
    kernels = by_name(profiler.key_averages(), device)
    total = sum(us for _, us in kernels.values()) or 1
    longest = sorted(kernels.items(), key=lambda item: -item[1][1])
    for name, (calls, us) in longest[:_MOST]:
        yield name, str(calls), f'{us / 1e3:.3f}', f'{us / total:.1%}'
    rest = [value for _, value in longest[_MOST:]]
    if rest:
        calls, us = (sum(numbers) for numbers in zip(*rest, strict=True))
        yield f'{len(rest)} others', str(calls), f'{us / 1e3:.3f}', f'{us / total:.1%}'
    yield 'all', str(sum(calls for calls, _ in kernels.values())), f'{total / 1e3:.3f}', ''


def by_name(events, device: str) -> dict[str, tuple[int, float]]:
    """Shortened name → calls, microseconds: of kernels on a GPU, of operators on a CPU."""
    kernels: dict[str, tuple[int, float]] = {}
    for event in events:
        if device == 'cuda' and event.device_type != DeviceType.CUDA:
            continue
        us = _self_time(event) if device == 'cuda' else event.self_cpu_time_total
        name = shortened(event.key)
        calls, before = kernels.get(name, (0, 0.0))
        if us > 0:
            kernels[name] = calls + event.count, before + us
    return kernels


def _self_time(event) -> float:
    # the name changed in PyTorch 2.4
    return event.self_device_time_total if hasattr(event, 'self_device_time_total') else event.self_cuda_time_total


def shortened(name: str) -> str:
    """A kernel's name without return type, arguments and namespaces of PyTorch."""
    name = re.sub(r'\(anonymous namespace\)|\{lambda.*?\}', '', name).removeprefix('void ')
    name = re.sub(r'\b(at|native|detail|cuda|internal|std|c10)::', '', name).split('(')[0].strip(': ')
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + '…'
