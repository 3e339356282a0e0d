"""Time `prepare` beside what BasicSR's users do: imresize frame by frame, then its LMDB maker for GT and for LQ.

    python benchmarks/prepare.py --source VIDEO [--frames 63] [--rounds 3] [--workers N] 2>/dev/null

All make GT.lmdb and BIx4.lmdb of the same frames, in turn, in one process, on the same disk, which is flushed before:

- from septuplets, PNG files of level 3 as Vimeo-90K has them: BasicSR's matlab_functions.imresize on float32 between
  imread and imwrite, then make_lmdb_from_imgs of both folders at level 1, as scripts/data_preparation/create_lmdb.py
  calls it; beside it `prepare vimeo90k`, which checks every file, packs GT as it is, and notes checksums.
- from a video: BasicSR's way begins with cv2.VideoCapture and imwrite; beside it `prepare custom`, which looks for cuts
  and repeated frames and notes checksums, too.

With several workers BasicSR's part is shared out as well: imresize to a pool of processes, which its scripts do not
have, and the LMDB maker by multiprocessing_read. `prepare custom` with one worker has a thread that reads and one that
writes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import resource
import shutil
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import cv2
import numpy as np
import torch

from basicsr_ssm import compat
from basicsr_ssm.clips.cutting import Cutting
from basicsr_ssm.clips.footage import Footage
from basicsr_ssm.clips.prepare import prepare
from basicsr_ssm.clips.prepare_published import prepare_published
from basicsr_ssm.clips.recipe import Recipe
from basicsr_ssm.clips.splits import SplitRule
from basicsr_ssm.clips.threads import thread_count
from basicsr_ssm.clips.vimeo90k import VimeoNumbers, find_vimeo90k

SCALE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--source', required=True, type=Path, help='a video; width and height multiples of 4')
    parser.add_argument('--frames', type=int, default=63)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--workers', type=int, help='default: one a core')
    args = parser.parse_args()
    workers, count = thread_count(args.workers), args.frames // 7 * 7
    compat.apply()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)

    with tempfile.TemporaryDirectory() as folder:
        tree, out = Path(folder) / 'septuplets', Path(folder) / 'out'
        size = write_septuplets(tree, args.source, count)
        ways = {
            'septuplets, BasicSR': lambda: shrink_and_pack(tree / 'sequences', out, workers),
            'septuplets, prepare': lambda: vimeo_way(tree, out, count // 7, size, workers),
            'video, BasicSR': lambda: extract_shrink_and_pack(args.source, count, out, workers),
            'video, prepare': lambda: custom_way(args.source, count, out, workers),
        }
        times, cpu = {name: [] for name in ways}, {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, way in ways.items():
                os.sync()  # nobody pays for what the one before has left
                start, used = perf_counter(), cpu_seconds()
                with contextlib.redirect_stdout(io.StringIO()):
                    way()
                times[name].append(perf_counter() - start)
                cpu[name].append(cpu_seconds() - used)
                shutil.rmtree(out)
    print(f'{count} frames of {size[1]}x{size[0]}, {workers} workers, {args.rounds} rounds')
    for name in times:
        theirs = name.replace('prepare', 'BasicSR')
        rate, cost = count / median(times[name]), median(cpu[name]) / count
        line = (
            f'{name:20s} {rate:6.1f} frames/s (best {count / min(times[name]):.1f}), {1e3 * cost:.0f} ms of CPU a frame'
        )
        if theirs != name:
            ratios = [median(its[theirs]) / median(its[name]) for its in (times, cpu)]
            line += f'; {ratios[0]:.1f} times BasicSR, by CPU {ratios[1]:.1f} times'
        print(line)


def cpu_seconds() -> float:
    """Of this process and its children: on a machine that others use, too, it says more than the clock."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def frames_of(video: Path, count: int):
    capture = cv2.VideoCapture(str(video))
    for _ in range(count):
        yield capture.read()[1]


def write_septuplets(tree: Path, video: Path, count: int) -> tuple[int, int]:
    """Clips 00001/0001 … of seven frames each; returns (h, w)."""
    clips = [f'00001/{i + 1:04d}' for i in range(count // 7)]
    for i, frame in enumerate(frames_of(video, count)):
        path = tree / 'sequences' / clips[i // 7] / f'im{i % 7 + 1}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), frame, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    (tree / 'sep_trainlist.txt').write_text('\n'.join(clips) + '\n')
    (tree / 'sep_testlist.txt').write_text('')
    return frame.shape[:2]


def extract_shrink_and_pack(video: Path, count: int, out: Path, workers: int) -> None:
    (out / 'GT' / 'video').mkdir(parents=True)
    for i, frame in enumerate(frames_of(video, count)):
        cv2.imwrite(str(out / 'GT' / 'video' / f'{i:08d}.png'), frame)
    shrink_and_pack(out / 'GT', out, workers)


def shrink_and_pack(top: Path, out: Path, workers: int) -> None:
    from basicsr.utils.lmdb_util import make_lmdb_from_imgs

    lq = out / 'BIx4'
    files = sorted(path.relative_to(top) for path in top.rglob('*.png'))
    pairs = [(top / file, lq / file) for file in files]
    if workers == 1:
        for pair in pairs:
            shrink_file(pair)
    else:
        with multiprocessing.Pool(workers) as pool:
            pool.map(shrink_file, pairs)
    names, keys = [str(file) for file in files], [str(file.with_suffix('')) for file in files]
    reading = {'multiprocessing_read': workers > 1, 'n_thread': workers}
    for folder in (top, lq):
        make_lmdb_from_imgs(str(folder), str(out / f'{folder.name}.lmdb'), names, keys, **reading)


def shrink_file(paths: tuple[Path, Path]) -> None:
    from basicsr.utils.matlab_functions import imresize

    torch.set_num_threads(1)
    frame = cv2.imread(str(paths[0])).astype(np.float32) / 255
    paths[1].parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(paths[1]), np.rint(imresize(frame, 1 / SCALE).clip(0, 1) * 255).astype(np.uint8))


def vimeo_way(tree: Path, out: Path, clips: int, size: tuple[int, int], workers: int) -> None:
    found = find_vimeo90k(tree, expected=VimeoNumbers(clips, 0, size))
    prepare_published(found, out, workers=workers, progress=False)


def custom_way(video: Path, count: int, out: Path, workers: int) -> None:
    cutting = Cutting(count, count, 1, (SCALE,))
    recipe = Recipe(cutting, SplitRule(shares={'train': 1.0}), footage=Footage(cuts='ignore'))
    prepare({'video': video}, out, recipe, workers=workers, progress=False)


if __name__ == '__main__':
    main()
