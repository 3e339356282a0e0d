"""What TF32 and bfloat16 cost: PSNR and pixels of restored clips, beside exact float32.

    python benchmarks/precision.py --model MedVSR.pth [--frames 50] [--markdown FILE] -- GT_FOLDER_OR_VIDEO …

The first frames of each clip are restored from their bicubic LQ frames, as a whole. 'float32' leaves PyTorch's
defaults, which on a GPU allow TF32 to convolutions; 'plain PyTorch' is the same without this package's kernels;
'bfloat16' runs as `basicsr-ssm upscale` does. PSNR (RGB) is of uint8 frames, the mean over frames and then over clips;
differences are of values from 0 to 1 before they are rounded, over all clips.
"""

from __future__ import annotations

# isort: off
import basicsr_ssm  # noqa: F401  (before torch)

# isort: on
import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from paper import Paper
from tiles import psnr, whole_pixels
from whole.inference import backend_of

from basicsr_ssm.archs.recognition import build_from_checkpoint
from basicsr_ssm.clips.imresize import imresize_bicubic
from basicsr_ssm.clips.sources import open_source
from basicsr_ssm.tables.measurements.running import How, device_name, prepared

COLUMNS = ('mode', 'PSNR', 'beside exact', 'from clip to clip', 'largest difference', 'mean of differences')
MODES = {
    'exact float32': dict(precision='fp32', tf32=False),
    'float32': dict(precision='fp32'),
    'reference float32, plain PyTorch': dict(precision='fp32'),
    'bfloat16': dict(precision='bf16'),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('clips', nargs='+', type=Path, help='ground truth: videos or folders of frames')
    parser.add_argument('--model', type=Path, required=True)
    parser.add_argument('--scale', type=int, default=4)
    parser.add_argument('--frames', type=int, default=50, help='of each clip, at most')
    parser.add_argument('--device', default='cuda', choices=('cuda', 'cpu'))
    parser.add_argument('--markdown', type=Path, metavar='FILE', help='the table goes here too')
    args = parser.parse_args(arguments)
    _, description = build_from_checkpoint(args.model)
    paper = Paper(args.markdown)
    paper.paragraph(f'{device_name(args.device)}, torch {torch.__version__}. {description}')
    clips = [gt_and_lq(path, args.frames, args.scale) for path in args.clips]
    sizes = sorted({f'{len(lq)} × {lq.shape[2]}×{lq.shape[3]}' for _, lq in clips})
    paper.paragraph(f'{len(clips)} clips, LQ frames: {", ".join(sizes)}')
    paper.table(COLUMNS, rows(args.model, clips, args.device))


def gt_and_lq(path: Path, frames: int, scale: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(t, 3, h, w) of uint8 each, cut to whole LQ pixels."""
    gt = [whole_pixels(frame, scale) for frame in islice(open_source(path).frames(), frames)]
    lq = [imresize_bicubic(frame, scale) for frame in gt]
    return tuple(torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous() for frames in (gt, lq))


def rows(model: Path, clips: list, device: str) -> Iterator[tuple[str, ...]]:
    exact = exact_psnr = None
    for mode, settings in MODES.items():
        restored = list(restore(model, [lq for _, lq in clips], mode, How(device=device, **settings)))
        found = np.array([psnr(sr.mul(255).round(), gt) for sr, (gt, _) in zip(restored, clips, strict=True)])
        if exact is None:
            exact, exact_psnr = restored, found
            yield mode, f'{found.mean():.4f}', *[''] * (len(COLUMNS) - 2)
            continue
        gains = found - exact_psnr
        largest = max(float((a - b).abs().max()) for a, b in zip(restored, exact, strict=True))
        mean = np.mean([float((a - b).double().mean()) for a, b in zip(restored, exact, strict=True)])
        yield (
            mode, f'{found.mean():.4f}', f'{gains.mean():+.4f} dB', f'{gains.min():+.4f} to {gains.max():+.4f}',
            f'{largest:.1e}', f'{mean:+.1e}',
        )  # fmt: skip


def restore(model: Path, clips: list[torch.Tensor], mode: str, how: How) -> Iterator[torch.Tensor]:
    """(t, 3, h, w) of float32 from 0 to 1, on the CPU."""
    net, _ = build_from_checkpoint(model)
    with backend_of(mode), prepared(net.eval(), how) as run:
        for lq in clips:
            yield run(lq[None].to(how.device).float() / 255)[0].float().clamp(0, 1).cpu()


if __name__ == '__main__':
    main()
