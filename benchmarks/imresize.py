"""Time the exact bicubic down-sampling beside BasicSR's own imresize, on 1280x1024 colour frames.

    OMP_NUM_THREADS=1 python benchmarks/imresize.py [--scale 4] [--rounds 30]

Both run in turn, three calls each, in one process; the ratios are of the medians and of the best times.
BasicSR's function is timed alone, on a float image that is ready, and from uint8 frame to uint8 frame as ours.
"""

from __future__ import annotations

import argparse
from statistics import median
from time import perf_counter

import numpy as np
import torch

from basicsr_ssm import compat
from basicsr_ssm.clips.imresize import SCALES, imresize_bicubic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scale', type=int, default=4, choices=SCALES)
    parser.add_argument('--rounds', type=int, default=30)
    args = parser.parse_args()

    compat.apply()
    from basicsr.utils.matlab_functions import imresize

    frame = np.random.default_rng(0).integers(0, 256, (1024, 1280, 3), dtype=np.uint8)
    frame = frame[: 1024 // args.scale * args.scale, : 1280 // args.scale * args.scale].copy()
    real = frame.astype(np.float32) / 255
    calls = {
        'BasicSR, float': lambda: imresize(real, 1 / args.scale),
        'BasicSR, uint8': lambda: basicsr_on_bytes(imresize, frame, args.scale),
        'basicsr_ssm': lambda: imresize_bicubic(frame, args.scale),
    }
    times = {name: [] for name in calls}
    for _ in range(args.rounds):
        for name, call in calls.items():
            for _ in range(3):
                start = perf_counter()
                call()
                times[name].append(perf_counter() - start)
    off = np.abs(calls['BasicSR, uint8']().astype(int) - calls['basicsr_ssm']()).max()
    print(f'1280x1024 to 1/{args.scale}, {torch.get_num_threads()} torch threads, largest difference {off}')
    ours = times.pop('basicsr_ssm')
    print(f'{"basicsr_ssm":16s} median {1e3 * median(ours):7.2f} ms   best {1e3 * min(ours):7.2f} ms')
    for name, theirs in times.items():
        ratios = f'{median(theirs) / median(ours):.1f} and {min(theirs) / min(ours):.1f} times ours'
        print(f'{name:16s} median {1e3 * median(theirs):7.2f} ms   best {1e3 * min(theirs):7.2f} ms   {ratios}')


def basicsr_on_bytes(imresize, frame: np.ndarray, scale: int) -> np.ndarray:
    """What a script does that has frames and wants frames."""
    small = imresize(frame.astype(np.float32) / 255, 1 / scale)
    return np.rint(small.clip(0, 1) * 255).astype(np.uint8)


if __name__ == '__main__':
    main()
