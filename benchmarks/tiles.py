"""Measure what restoring large frames in tiles changes, against whole frames.

    OMP_NUM_THREADS=2 python benchmarks/tiles.py --model MedVSR.pth --tile 96 --overlaps 0 32 64 -- GT_FOLDER_OR_VIDEO …

Clips are restored from their bicubic LQ frames in float32. Printed are the largest difference of any value of the
restored uint8 frames, the share of values that differ by more than 1, and the PSNR (RGB) lost over all frames.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from basicsr_ssm.archs.recognition import build_from_checkpoint
from basicsr_ssm.clips.imresize import imresize_bicubic
from basicsr_ssm.clips.sources import open_source
from basicsr_ssm.inference.tiles import in_tiles, tiles_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('clips', nargs='+', type=Path, help='ground truth: videos or folders of frames')
    parser.add_argument('--model', type=Path, required=True)
    parser.add_argument('--scale', type=int, default=4)
    parser.add_argument('--tile', type=int, default=96, help='LQ pixels')
    parser.add_argument('--overlaps', type=int, nargs='+', default=[0, 16, 32, 48, 64])
    parser.add_argument('--frames', type=int, default=10)
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()
    net, description = build_from_checkpoint(args.model)
    net.to(args.device)
    print(description)

    def restore(lq: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return net(lq.to(args.device)[None])[0].clamp(0, 1).mul(255).round().cpu()

    for path in args.clips:
        gt = np.stack([whole_pixels(frame, args.scale) for frame in islice(open_source(path).frames(), args.frames)])
        lq = np.stack([imresize_bicubic(frame, args.scale) for frame in gt])
        gt, lq = (torch.from_numpy(frames).permute(0, 3, 1, 2).float() for frames in (gt, lq))
        whole = restore(lq / 255)
        height, width = lq.shape[2:]
        print(f'{path}: {len(lq)} frames of {width}x{height}, whole {psnr(whole, gt):.4f} dB', flush=True)
        for overlap in args.overlaps:
            tiled = in_tiles(restore, lq / 255, args.tile, overlap)
            off = (tiled - whole).abs()
            count = len(tiles_of(height, width, args.tile, overlap))
            print(
                f'  tiles of {args.tile}, overlap {overlap:3d} ({count} tiles): largest difference {off.max():.0f} of '
                f'255, {100 * (off > 1).float().mean():.4f} % differ by more than 1, '
                f'{psnr(whole, gt) - psnr(tiled, gt):.4f} dB lost',
                flush=True,
            )


def whole_pixels(frame: np.ndarray, scale: int) -> np.ndarray:
    h, w = (side // scale * scale for side in frame.shape[:2])
    return np.ascontiguousarray(frame[:h, :w])


def psnr(restored: torch.Tensor, gt: torch.Tensor) -> float:
    return float(10 * torch.log10(255**2 / (restored - gt).square().mean((1, 2, 3))).mean())


if __name__ == '__main__':
    main()
