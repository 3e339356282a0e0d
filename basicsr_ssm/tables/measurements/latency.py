"""Time of a network on a clip: median over repetitions, by CUDA events on a GPU, by the clock on a CPU.

BasicSR's networks run as they are. Where torchvision's kernels do not load, the deformable convolutions of
BasicVSRPlusPlus and EDVR are this package's in plain PyTorch ('deform_conv' says so): their times there are not those
of torchvision's kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from basicsr_ssm.tables.measurements.networks import build, window_of
from basicsr_ssm.tables.measurements.running import How, environment, read_on_device, run_clip
from basicsr_ssm.tables.measurements.settings import frame_size, whole
from basicsr_ssm.tables.peers import deform_conv_in_use


@dataclass
class Settings(How):
    """Of the measurement 'latency'; those of `How`, and:

    Args:
        size: of the LR frames: [height, width], or a side.
        frames: of the clip. A network that makes one frame of a fixed number is given so many.
        repeats: timed calls.
        warm_up: calls before, two or more.
    """

    size: tuple[int, int] = (180, 320)
    frames: int = 6
    repeats: int = 10
    warm_up: int = 3

    def __post_init__(self):
        super().__post_init__()
        self.size = frame_size('size', self.size)
        whole('frames', self.frames)
        whole('repeats', self.repeats)
        whole('warm_up', self.warm_up, least=2)


def measure(network: dict, settings: dict, folder: Path) -> dict:
    """'ms' of the clip, 'ms_per_frame' that comes out, 'frames_per_second', 'peak_bytes' (None on a CPU), settings."""
    given = read_on_device(Settings, 'latency', settings)
    torch.manual_seed(0)
    net = build(network)
    frames = window_of(network) or given.frames
    timing = run_clip(net, (1, frames, 3, *given.size), given, given.repeats, given.warm_up)
    return {
        'network': network['type'],
        'ms': timing.median,
        'ms_per_frame': timing.median / timing.frames,
        'frames_per_second': 1e3 * timing.frames / timing.median,
        'ms_of_each_call': list(timing.milliseconds),
        'peak_bytes': timing.peak_bytes,
        'size': list(given.size),
        'frames': frames,
        'frames_out': timing.frames,
        'precision': given.precision,
        'mode': given.mode,
        'tf32': given.tf32,
        'deform_conv': deform_conv_in_use(net),
        **environment(given.device),
    }
