"""Measure what restoring a video in segments costs in PSNR, against restoring it as a whole.

    OMP_NUM_THREADS=2 python benchmarks/segments.py --model BasicVSR.pth --crop 64 --frames 46 \
        --contexts 0 8 16 -- GT_FOLDER_OR_VIDEO …

Each clip is cut once, in its middle, with so many frames of context on both sides (half an overlap), and restored from
its bicubic x1/4 frames. The loss of a frame is PSNR (RGB) of the whole clip's result less that of the segments'; what
is lost at a cut is the sum over all frames, in dB times frames. A long video is cut every segment - overlap frames: its
mean loss is that sum divided by so many. Without --contexts the clips are cut as `basicsr-ssm upscale` cuts them.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np

from basicsr_ssm.archs.recognition import build_from_checkpoint
from basicsr_ssm.clips.imresize import imresize_bicubic
from basicsr_ssm.clips.sources import open_source
from basicsr_ssm.inference.restore import restore_clip
from basicsr_ssm.segments.chunks import OVERLAP, SEGMENT

SEGMENTS = (40, SEGMENT, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('clips', nargs='+', type=Path, help='ground truth: videos or folders of frames')
    parser.add_argument('--model', type=Path, required=True)
    parser.add_argument('--crop', type=int, default=64, help='LR pixels in the middle of the frame')
    parser.add_argument('--frames', type=int, default=80, help='at most')
    parser.add_argument('--contexts', type=int, nargs='*', default=[])
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()
    net, description = build_from_checkpoint(args.model)
    net.to(args.device)
    print(description)
    for path in args.clips:
        gt = middle(list(islice(open_source(path).frames(), args.frames)), 4 * args.crop)
        gt = gt[: len(gt) // 2 * 2]
        lq = [imresize_bicubic(frame, 4) for frame in gt]
        whole = psnr(restore_clip(net, lq, segment=len(lq), overlap=0, device=args.device), gt)
        print(f'{path}: {len(gt)} frames of {lq[0].shape[1]}x{lq[0].shape[0]}, whole {whole.mean():.4f} dB', flush=True)
        if not args.contexts:
            cut = psnr(restore_clip(net, lq, device=args.device), gt)
            print(f'  segments of {SEGMENT}, overlap {OVERLAP}: {whole.mean() - cut.mean():.4f} dB lost', flush=True)
        for context in args.contexts:
            segment = len(lq) // 2 + context
            cut = psnr(restore_clip(net, lq, segment=segment, overlap=2 * context, device=args.device), gt)
            loss = whole - cut
            at_cut = loss[len(loss) // 2 - 1 : len(loss) // 2 + 1].max()
            means = ', '.join(f'{s}: {loss.sum() / (s - 2 * context):.4f}' for s in SEGMENTS if s > 2 * context)
            print(
                f'  overlap {2 * context:3d}: {at_cut:.3f} dB in the frame at the cut, {loss.sum():.3f} dB x frames '
                f'in all; mean of a long video by segment {means}',
                flush=True,
            )


def middle(frames: list[np.ndarray], size: int) -> list[np.ndarray]:
    top, left = (max(0, side - size) // 2 // 4 * 4 for side in frames[0].shape[:2])
    return [np.ascontiguousarray(frame[top : top + size, left : left + size]) for frame in frames]


def psnr(restored, gt: list[np.ndarray]) -> np.ndarray:
    errors = [np.square(a.astype(float) - b).mean() for a, b in zip(restored, gt, strict=True)]
    return 10 * np.log10(255**2 / np.array(errors))


if __name__ == '__main__':
    main()
