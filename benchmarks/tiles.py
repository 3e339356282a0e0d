"""Measure what restoring large frames in tiles changes, against whole frames.

    OMP_NUM_THREADS=2 python benchmarks/tiles.py --model MedVSR.pth --tile 96 --overlaps 0 32 64 -- GT_FOLDER_OR_VIDEO …

Clips are restored from their bicubic LQ frames in float32. Printed are the largest difference of any value of the
restored uint8 frames, their mean, how much the difference jumps on average from one pixel to the next across a seam and
elsewhere (no more at seams: they cannot be seen), and the PSNR (RGB) lost over all frames.
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
from basicsr_ssm.segments.tiles import in_tiles, tiles_of


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
            off = tiled - whole
            tiles = tiles_of(height, width, args.tile, overlap)
            seams, elsewhere = jumps(off, {args.scale * tile.kept_columns.start for tile in tiles} - {0})
            print(
                f'  tiles of {args.tile}, overlap {overlap} ({len(tiles)} tiles): difference at most '
                f'{off.abs().max():.0f} of 255, mean {off.abs().mean():.4f}, jumps {seams:.4f} at seams, '
                f'{elsewhere:.4f} elsewhere; {psnr(whole, gt) - psnr(tiled, gt):.4f} dB lost',
                flush=True,
            )


def jumps(off: torch.Tensor, seams: set[int]) -> tuple[float, float]:
    """Mean change of a difference (t, 3, h, w) from column to column, into the columns ``seams`` and into others."""
    steps = off.diff(dim=-1).abs().mean((0, 1, 2))
    at_seams = torch.tensor([column + 1 in seams for column in range(len(steps))])
    return float(steps[at_seams].mean()), float(steps[~at_seams].mean())


def whole_pixels(frame: np.ndarray, scale: int) -> np.ndarray:
    h, w = (side // scale * scale for side in frame.shape[:2])
    return np.ascontiguousarray(frame[:h, :w])


def psnr(restored: torch.Tensor, gt: torch.Tensor) -> float:
    return float(10 * torch.log10(255**2 / (restored - gt).square().mean((1, 2, 3))).mean())


if __name__ == '__main__':
    main()
