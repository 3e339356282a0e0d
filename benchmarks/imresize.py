"""Time the exact bicubic down-sampling beside BasicSR's own imresize, on 1280x1024 colour frames.

    OMP_NUM_THREADS=1 python benchmarks/imresize.py [--scale 4] [--rounds 30]

Both run in turn, three calls each, in one process; the ratio of the medians and that of the best times are printed.
BasicSR's function is timed alone on a float image that is ready; ours includes the way from uint8 to uint8.
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
        'BasicSR': lambda: imresize(real, 1 / args.scale),
        'basicsr_ssm': lambda: imresize_bicubic(frame, args.scale),
    }
    times = {name: [] for name in calls}
    for _ in range(args.rounds):
        for name, call in calls.items():
            for _ in range(3):
                start = perf_counter()
                call()
                times[name].append(perf_counter() - start)
    theirs, ours = (call() for call in calls.values())
    off = np.abs(np.rint(theirs.clip(0, 1) * 255) - ours).max()
    print(f'1280x1024 to 1/{args.scale}, {torch.get_num_threads()} torch threads, largest difference {off:.0f}')
    for name, values in times.items():
        print(f'{name:12s} median {1e3 * median(values):7.2f} ms   best {1e3 * min(values):7.2f} ms')
    by_median, by_best = (f(times['BasicSR']) / f(times['basicsr_ssm']) for f in (median, min))
    print(f'ratio        median {by_median:7.1f}      best {by_best:7.1f}')


if __name__ == '__main__':
    main()
