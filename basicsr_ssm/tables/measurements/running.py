"""Running a network on a clip for its time and its peak of memory, in eager mode or as a CUDA graph."""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch
from torch import nn

from basicsr_ssm.errors import UserError
from basicsr_ssm.inference.graph import GraphedNetwork
from basicsr_ssm.inference.precision import cast_weights
from basicsr_ssm.tables.measurements.networks import is_capturable
from basicsr_ssm.tables.measurements.settings import one_of, read_settings
from basicsr_ssm.tables.peers import deform_conv_that_runs
from basicsr_ssm.version import __version__

PRECISIONS = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
MODES = ('eager', 'graph')
Given = TypeVar('Given', bound='How')


@dataclass
class How:
    """How a network is run.

    Args:
        precision: 'fp32', or 'bf16' or 'fp16' under autocast; weights are cast and laid out once, as `upscale` does it.
        mode: 'eager', or 'graph': one CUDA graph of the whole clip.
        tf32: whether convolutions and matrix products of float32 may use TF32. None: PyTorch's defaults, which allow it
            to convolutions.
        device: None is the GPU, or the CPU where there is none.
    """

    precision: str = 'fp32'
    mode: str = 'eager'
    tf32: bool | None = None
    device: str | None = None

    def __post_init__(self):
        one_of('precision', self.precision, PRECISIONS)
        one_of('mode', self.mode, MODES)
        one_of('tf32', self.tf32, (None, False, True))
        check_device(self.device)

    def take_device(self) -> None:
        """Where it is run, which need not be where it was asked for: the default becomes the device that is there.

        Raises:
            UserError: it is not there, or cannot do what is asked.
        """
        self.device = device_that_is_there(self.device)
        if self.mode == 'graph' and self.device == 'cpu':
            raise UserError('mode: graph is for a CUDA device')


def check_device(device: str | None) -> None:
    """Raises a UserError for what names no device, whether it is there or not."""
    if device is not None:
        one_of('device', str(device).split(':')[0], ('cpu', 'cuda'))


def device_that_is_there(device: str | None) -> str:
    """A device, or for None the GPU, or the CPU where there is none.

    Raises:
        UserError: a CUDA device where there is none.
    """
    if device is None:
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    if device != 'cpu' and not torch.cuda.is_available():
        raise UserError(f'device: {device}, but there is no CUDA device')
    return device


def read_on_device(kind: type[Given], measurement: str, settings: dict) -> Given:
    """read_settings, and take_device.

    Raises:
        UserError: an unknown setting, a bad value, or no such device.
    """
    given = read_settings(kind, measurement, settings)
    try:
        given.take_device()
    except UserError as error:
        raise UserError(f'{measurement}: {error}') from None
    return given


@dataclass(frozen=True)
class Timing:
    """Milliseconds of each repetition, frames that came out of it, and the peak of memory in bytes (None on a CPU)."""

    milliseconds: tuple[float, ...]
    frames: int
    peak_bytes: int | None

    @property
    def median(self) -> float:
        return median(self.milliseconds)


def run_clip(net: nn.Module, clip: tuple[int, ...], how: How, repeats: int = 10, warm_up: int = 3) -> Timing:
    """Times a network.

    The peak of memory is what is allocated above what was there before, without the clip, with the weights; it is taken
    from the second call on, which is the one that captures a graph.

    Args:
        net: on the CPU, in eval mode; moved to the device, its weights cast.
        clip: shape of the input, (n, t, 3, h, w), random values.
        how: precision, mode and device.
        repeats: timed calls, one at a time, each waited for.
        warm_up: calls before: one or more, for a graph two or more.

    Raises:
        UserError: no such device, or a network of which no graph can be made.
    """
    how.take_device()
    device = torch.device(how.device)
    memory = Memory(device)
    lq = torch.rand(clip, generator=torch.Generator().manual_seed(0)).to(device)
    with prepared(net, how) as run:
        out = run(lq)
        frames = out.shape[0] * (out.shape[1] if out.dim() == 5 else 1)
        del out
        memory.start()
        for _ in range(warm_up - 1):
            run(lq)
        milliseconds = tuple(milliseconds_of(lambda: run(lq), device) for _ in range(repeats))
        peak = memory.peak()
    return Timing(milliseconds, frames, None if peak is None else peak - lq.nbytes)


@contextmanager
def prepared(net: nn.Module, how: How) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """The network as ``how`` says: moved, its weights cast; inside, what it gives is called with clips on the device.

    Raises:
        UserError: no such device, or a network of which no graph can be made.
    """
    how.take_device()
    if how.mode == 'graph' and not is_capturable(net):
        raise UserError(f'mode: graph is not for {type(net).__name__}, which waits for the GPU in its midst')
    device, dtype = torch.device(how.device), PRECISIONS[how.precision]
    net.to(device)
    cast_weights(net, dtype)  # in float32 for their layout
    if device.type == 'cpu' and dtype != torch.float32:
        for module in net.modules():
            if isinstance(module, nn.Conv2d):  # without AVX-512, 14 times as fast so
                module.to(memory_format=torch.channels_last)
    with (
        tensor_float_32(how.tf32),
        deform_conv_that_runs(),
        torch.inference_mode(),
        torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32),
    ):
        yield GraphedNetwork(net).eval() if how.mode == 'graph' else net


class Memory:
    """The peak of what a CUDA device holds above what it held at first; None on a CPU."""

    def __init__(self, device: torch.device):
        self._device = device if device.type == 'cuda' else None
        if self._device is not None:
            torch.cuda.synchronize(self._device)
            gc.collect()  # graphs of before lie in cycles
            torch.cuda.empty_cache()
            self._before = torch.cuda.memory_allocated(self._device)

    def start(self) -> None:
        """Forgets the peaks until now."""
        if self._device is not None:
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> int | None:
        """Bytes."""
        if self._device is None:
            return None
        torch.cuda.synchronize(self._device)
        return torch.cuda.max_memory_allocated(self._device) - self._before


def milliseconds_of(call: Callable[[], object], device: torch.device) -> float:
    """Of one call, from an idle device to an idle device."""
    if device.type == 'cpu':
        start = time.perf_counter()
        call()
        return 1e3 * (time.perf_counter() - start)
    torch.cuda.synchronize(device)
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
    end.synchronize()
    return start.elapsed_time(end)


@contextmanager
def tensor_float_32(allowed: bool | None) -> Iterator[None]:
    """Lets float32 use TF32 or forbids it, in convolutions and matrix products; None leaves things as they are."""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches if allowed is not None else ():
            switch.allow_tf32 = allowed
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


def environment(device: str) -> dict:
    """'device', its name, and 'versions'."""
    versions = {'basicsr_ssm': __version__, 'torch': torch.__version__, 'python': platform.python_version()}
    if device != 'cpu':
        versions['cuda'] = torch.version.cuda
    return {'device': device_name(device), 'versions': versions}


def device_name(device: str) -> str:
    if device != 'cpu':
        return torch.cuda.get_device_name(device)
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
        model = next(line.split(':', 1)[1].strip() for line in lines if line.startswith('model name'))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f'CPU ({model}), {torch.get_num_threads()} threads'
