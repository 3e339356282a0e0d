"""Restore a video of hours, and watch memory.

    python benchmarks/long_run.py [--model MedVSR.pth] [--frames 180000] [--precision bf16] [--markdown FILE] -- GT_CLIP

The clip's bicubic LQ frames are restored over and over, as `basicsr-ssm upscale` restores a video, by default as many
as two hours have at 25 frames a second; what comes out is dropped. Without --model, a MedVSR of random weights. A row
after the first hundredth, when all that is set up once is there, and after each tenth: memory that tensors have, that
they had at most since the row before, that PyTorch reserves on the GPU, and that the process has of the CPU's.
"""

from __future__ import annotations

# isort: off
import basicsr_ssm  # noqa: F401  (before torch)

# isort: on
import argparse
import os
import time
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from pathlib import Path

import torch
from paper import Paper
from tiles import whole_pixels

from basicsr_ssm.archs.recognition import build_from_checkpoint
from basicsr_ssm.clips.imresize import imresize_bicubic
from basicsr_ssm.clips.sources import open_source
from basicsr_ssm.inference.precision import cast_weights
from basicsr_ssm.inference.restore import restore_clip
from basicsr_ssm.tables.measurements.networks import build
from basicsr_ssm.tables.measurements.running import PRECISIONS, device_name

COLUMNS = ('frames', 's', 'frames/s so far', 'tensors MiB', 'at most MiB', 'reserved MiB', 'process MiB')
MIB = 2**20


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('clip', type=Path, help='ground truth: a video or a folder of frames')
    parser.add_argument('--model', type=Path)
    parser.add_argument('--scale', type=int, default=4)
    parser.add_argument('--frames', type=int, default=180_000)
    parser.add_argument('--precision', choices=PRECISIONS, default='bf16')
    parser.add_argument('--device', default='cuda', choices=('cuda', 'cpu'))
    parser.add_argument('--markdown', type=Path, metavar='FILE', help='the table goes here too')
    args = parser.parse_args(arguments)
    if args.model is None:
        net, description = build({'type': 'MedVSR', 'scale': args.scale}), 'MedVSR, random weights'
    else:
        net, description = build_from_checkpoint(args.model)
    net.to(args.device).eval()
    dtype = PRECISIONS[args.precision]
    cast_weights(net, dtype)  # in float32 for their layout
    lq = [imresize_bicubic(whole_pixels(frame, args.scale), args.scale) for frame in open_source(args.clip).frames()]
    height, width = lq[0].shape[:2]
    paper = Paper(args.markdown)
    paper.paragraph(f'{device_name(args.device)}, torch {torch.__version__}. {description}')
    paper.paragraph(f'{args.frames:,} frames of {height}×{width}, {args.precision}')
    restored = restore_clip(net, islice(cycle(lq), args.frames), device=args.device, dtype=dtype)
    paper.table(COLUMNS, rows(restored, args.frames, args.device))


def rows(restored: Iterable, frames: int, device: str) -> Iterator[tuple[str, ...]]:
    marks = sorted({max(1, frames // 100), *(max(1, frames * tenth // 10) for tenth in range(1, 11))})
    start = time.perf_counter()
    for number, _ in enumerate(restored, 1):
        if number != marks[0]:
            continue
        marks = marks[1:] or [0]
        taken = time.perf_counter() - start
        # of all, not of those since the last row: frames come a segment at a time
        rate = f'{number / taken:.1f}'
        yield f'{number:,}', f'{taken:.0f}', rate, *on_the_gpu(device), f'{resident() / MIB:.0f}'


def on_the_gpu(device: str) -> tuple[str, ...]:
    if device == 'cpu':
        return ('',) * 3
    numbers = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated(), torch.cuda.memory_reserved()
    torch.cuda.reset_peak_memory_stats()
    return tuple(f'{number / MIB:.2f}' for number in numbers)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


if __name__ == '__main__':
    main()
