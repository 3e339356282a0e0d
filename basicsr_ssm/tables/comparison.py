"""A tested model beside bicubic up-sampling: the same clips, the same metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch
from basicsr.utils import tensor2img

from basicsr_ssm.clips.imresize import SCALES, imresize_bicubic_up
from basicsr_ssm.errors import UserError
from basicsr_ssm.metrics import measure
from basicsr_ssm.tables.markdown_table import markdown_table

Table = dict[str, dict[str, float]]
TableOfFrames = dict[str, dict[str, list[float]]]


def check_scale(scale: int | None) -> None:
    """Raises UserError unless there is bicubic up-sampling for the scale of an option file, None where it has none."""
    if scale not in SCALES:
        raise UserError(f'bicubic up-sampling is there for scales {", ".join(map(str, SCALES))}, not {scale}')


def bicubic_per_frame(items: Iterable[dict], metrics: dict[str, dict], scale: int) -> TableOfFrames:
    """Metrics of every frame of clips that MATLAB's bicubic has up-sampled.

    Args:
        items: of a test data set: 'folder', 'lq' (t, 3, h, w) and 'gt' (t, 3, s·h, s·w), RGB in [0, 1], and 'mask',
            bool (s·h, s·w), where there is one. Or, of a sliding-window set, the neighbours (t, 3, h, w) of one frame
            and its 'gt' (3, s·h, s·w), in the order of the frames.
        metrics: an option file's `val.metrics`: {name: {'type': …, …}}.
        scale: s.

    Returns:
        {clip: {metric: values in the order of the frames}}; clips without ground truth are left out.
    """
    table: TableOfFrames = {}
    for item in items:
        if 'gt' not in item:
            continue
        clip, mask = item['folder'], None if item.get('mask') is None else item['mask'].numpy()
        values = table.setdefault(clip, {metric: [] for metric in metrics})
        for lq, gt in frame_pairs(item):
            pair = upsampled(lq, scale), tensor2img([gt])
            for metric, opt in metrics.items():
                values[metric].append(measure(opt, *pair, clip, mask))
    return table


def means(by_frame: TableOfFrames) -> Table:
    """{clip: {metric: mean over its frames}}, as BasicSR's test measures them."""
    return {clip: {m: float(np.mean(frames)) for m, frames in values.items()} for clip, values in by_frame.items()}


def frame_pairs(item: dict) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The frames of a test set's item, LQ (3, h, w) and GT (3, s·h, s·w): all of a clip, or the one of a window."""
    lq, gt = item['lq'], item['gt']
    return zip(lq, gt, strict=True) if gt.dim() == 4 else iter([(lq[len(lq) // 2], gt)])


def upsampled(lq: torch.Tensor, scale: int) -> np.ndarray:
    """(3, h, w), RGB in [0, 1] → bicubic, uint8 BGR (s·h, s·w, 3)."""
    frame = (lq * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    return imresize_bicubic_up(frame, scale)[:, :, ::-1].copy()


def markdown(names: list[str], tables: list[Table], metrics: list[str]) -> str:
    """A table of clips in rows, methods × metrics in columns, the mean last; only clips that all tables have.

    Args:
        names: of the methods, the last is the one whose gain over the first is shown.
    """
    clips = [clip for clip in tables[-1] if clip != 'mean' and all(clip in table for table in tables)]
    of_all = [{m: float(np.mean([t[c][m] for c in clips])) for m in metrics} for t in tables]
    head = ['clip', *(f'{name} {metric.upper()}' for metric in metrics for name in names)]
    head += [f'gain {metric.upper()}' for metric in metrics]
    rows = []
    for clip, values in [*((c, [t[c] for t in tables]) for c in clips), ('**mean**', of_all)]:
        row = [clip, *(f'{v[metric]:.4f}' for metric in metrics for v in values)]
        rows.append(row + [f'{values[-1][metric] - values[0][metric]:+.4f}' for metric in metrics])
    return markdown_table([head, *rows])


def side_by_side(images: dict[str, np.ndarray], side: int = 96, zoom: int = 4) -> np.ndarray:
    """Versions of one frame beside each other: the whole frames above, the most detailed square below.

    Args:
        images: {title: uint8 BGR (h, w, 3)}, equal sizes; the last one, ground truth, tells where the detail is.
        side: of the square, pixels; smaller in small frames.
        zoom: enlargement of the square, without interpolation.
    """
    *_, truth = images.values()
    side = min(side, *truth.shape[:2])
    y, x = most_detailed(truth, side, side)
    width = side * zoom
    columns = []
    for title, image in images.items():
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        shown = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        scale = width / image.shape[1]
        corners = [tuple(round(v * scale) for v in corner) for corner in ((x, y), (x + side, y + side))]
        cv2.rectangle(shown, *corners, (0, 255, 255), 2)
        detail = image[y : y + side, x : x + side].repeat(zoom, axis=0).repeat(zoom, axis=1)
        label = np.zeros((32, width, 3), np.uint8)
        cv2.putText(label, title, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
        columns.append(np.vstack([label, shown, detail]))
    return np.hstack(columns)


def most_detailed(image: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """Top left corner, (y, x), of the rectangle with the strongest gradients in a uint8 BGR image (h, w, 3)."""
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    strength = np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    total = cv2.boxFilter(strength, -1, (width, height), anchor=(0, 0), normalize=False)
    inside = total[: image.shape[0] - height + 1, : image.shape[1] - width + 1]
    y, x = np.unravel_index(inside.argmax(), inside.shape)
    return int(y), int(x)
