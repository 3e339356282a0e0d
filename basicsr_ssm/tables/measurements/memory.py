"""Peak of GPU memory over sizes of frames and numbers of them, as Fig. 1 of MedVSR's supplement has it."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

import torch

from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.measurements.networks import build, window_of
from basicsr_ssm.tables.measurements.running import How, environment, read_on_device, run_clip
from basicsr_ssm.tables.measurements.settings import frame_size, whole

FIGURE_1 = (64, 128, 192, 256, 320, 384, 448, 512)


@dataclass
class Settings(How):
    """Of the measurement 'memory'; those of `How`, and:

    Args:
        size: one size of the LR frames, [height, width] or a side, in place of `sizes`.
        sizes: a list of them. Default: sides of 64 … 512.
        frames: of the clip, or a list.
    """

    size: tuple[int, int] | None = None
    sizes: tuple[tuple[int, int], ...] | None = None
    frames: int | tuple[int, ...] = 50

    def __post_init__(self):
        super().__post_init__()
        if self.size is not None and self.sizes is not None:
            raise UserError('size and sizes are given; only one can hold')
        sizes = [self.size] if self.size is not None else FIGURE_1 if self.sizes is None else self.sizes
        self.sizes = tuple(frame_size('sizes', size) for size in sizes)
        self.frames = tuple(self.frames) if isinstance(self.frames, list | tuple) else (self.frames,)
        for frames in self.frames:
            whole('frames', frames)

    def take_device(self) -> None:
        super().take_device()
        if self.device == 'cpu':
            raise UserError('needs a CUDA device')


def measure(network: dict, settings: dict, folder: Path) -> dict:
    """'rows', one for each clip, the smallest first, and 'peak_bytes', the largest peak.

    A row has 'size', 'frames', 'peak_bytes', 'ms', and 'out_of_memory'. After a clip that does not fit no larger one is
    tried: they are out of memory as well, and say so by 'tried': false.
    """
    given = read_on_device(Settings, 'memory', settings)
    counts = (window_of(network),) if window_of(network) else given.frames
    clips = sorted(((t, *size) for size in given.sizes for t in counts), key=lambda c: c[0] * c[1] * c[2])
    rows = []
    for frames, height, width in clips:
        row = {'size': [height, width], 'frames': frames, 'peak_bytes': None, 'ms': None, 'out_of_memory': True}
        fits = not any(r['out_of_memory'] for r in rows)
        timing = _timing_or_none(network, (1, frames, 3, height, width), given) if fits else None
        if timing is not None:
            row.update(peak_bytes=timing.peak_bytes, ms=timing.median, out_of_memory=False)
        rows.append({**row, 'tried': fits})
    peaks = [row['peak_bytes'] for row in rows if not row['out_of_memory']]
    return {
        'network': network['type'],
        'peak_bytes': max(peaks) if len(peaks) == len(rows) else None,
        'out_of_memory': len(peaks) < len(rows),
        'rows': rows,
        'precision': given.precision,
        'mode': given.mode,
        **environment(given.device),
    }


def _timing_or_none(network: dict, clip: tuple[int, ...], how: How):
    torch.manual_seed(0)
    try:
        return run_clip(build(network), clip, how, repeats=1, warm_up=2 if how.mode == 'graph' else 1)
    except torch.cuda.OutOfMemoryError:
        pass  # here the error is gone, and with it what its traceback held
    gc.collect()
    torch.cuda.empty_cache()
    return None
