"""The table and the picture of optical-flow errors: data sets beside each other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from torch import nn

from basicsr_ssm.clips.discover import find_sources
from basicsr_ssm.clips.field_of_view import FieldOfView
from basicsr_ssm.clips.sources import open_source
from basicsr_ssm.data.clip_index import index_clips
from basicsr_ssm.data.frame_store import LmdbFrames
from basicsr_ssm.metrics.flow_error import FlowError, clip_flow_error, flow_pairs, mean_flow_error

Clips = dict[str, Callable[[], Iterable[np.ndarray]]]
"""Clip → its frames from the first one on, uint8 RGB (h, w, 3)."""

_COLUMN = 320  # pixels, of the picture
_STRIP = 26


def clips_in(path: Path) -> Clips:
    """The clips of an LMDB, or of a folder with videos, DICOM files or folders of frames; or one of these."""
    if path.name.endswith('.lmdb'):
        store = LmdbFrames(path)
        clips, _ = index_clips(store)
        return {clip.name: lambda clip=clip: (store.read(key)[..., ::-1] for key in clip.lq) for clip in clips}
    sources = find_sources([path], note=lambda text: print(f'note: {text}', file=sys.stderr))
    return {name: lambda source=source: open_source(source).frames() for name, source in sources.items()}


def measure_clips(
    flow_net: nn.Module,
    clips: Clips,
    most_clips: int | None = None,
    frames: int | None = None,
    field_of_view: bool = False,
    done: Callable[[str, FlowError], None] = lambda clip, error: None,
    skip: Callable[[str], None] = lambda clip: None,
) -> dict[str, FlowError]:
    """Clip → its error; clips of fewer than two frames are left out.

    Args:
        most_clips: only the first ones.
        frames: only the first ones of each clip.
        field_of_view: leave out what is black all through a clip (see clips/field_of_view.py).
        done: told of each clip.
        skip: told of each clip that is left out.
    """
    errors = {}
    for name, read in islice(clips.items(), most_clips):
        if sum(1 for _ in islice(read(), 2)) < 2:
            skip(name)
            continue
        mask = _field_of_view(islice(read(), frames)) if field_of_view else None
        errors[name] = clip_flow_error(flow_net, islice(read(), frames), name, mask)
        done(name, errors[name])
    return errors


def _field_of_view(frames: Iterable[np.ndarray]) -> np.ndarray | None:
    field = None
    for frame in frames:
        field = field or FieldOfView(frame.shape[:2])
        field.add(frame)
    return field and field.mask()


def as_json(errors: dict[str, dict[str, FlowError]]) -> dict:
    """Data set → {'clips': {clip: …}, 'mean': …}."""

    def values(error: FlowError) -> dict:
        return {'omega': error.omega, 'pixel': error.pixel, 'motion': error.motion, 'share': error.share}

    return {
        name: {'clips': {clip: values(e) for clip, e in of.items()}, 'mean': values(mean_flow_error(of.values()))}
        for name, of in errors.items()
    }


def markdown(errors: dict[str, dict[str, FlowError]]) -> str:
    """One line for each data set."""
    lines = [['data set', 'clips', 'Ω', 'Ω a pixel (px)', 'motion (px)', 'Ω / motion']]
    for name, of in errors.items():
        mean = mean_flow_error(of.values())
        numbers = [f'{mean.omega:.1f}', f'{mean.pixel:.3f}', f'{mean.motion:.3f}', f'{mean.share:.3f}']
        lines.append([name, str(len(of)), *numbers])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, ['-' * width for width in widths])
    padded = (' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return ''.join(f'| {line} |\n' for line in padded)


def typical_pair(
    flow_net: nn.Module, clips: Clips, errors: dict[str, FlowError], frames: int | None = None
) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """Clip, frame (h, w, 3), forward and reversed backward flow (h, w, 2), from the middle of the clip whose error is
    nearest to the mean."""
    mean = mean_flow_error(errors.values()).pixel
    clip = min(errors, key=lambda name: abs(errors[name].pixel - mean))
    middle = max(0, sum(1 for _ in islice(clips[clip](), frames)) // 2 - 1)
    pair = list(islice(clips[clip](), middle, middle + 2))
    ((forward, backward),) = flow_pairs(flow_net, pair)
    return clip, pair[0], forward.permute(1, 2, 0).numpy(), backward.permute(1, 2, 0).numpy()


def picture(rows: Iterable[tuple[str, FlowError, np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """A row for each data set: frame, forward flow, reversed backward flow and the length of their difference.

    Within a row all flows have one scale, the longest of 99 % of the forward vectors; its length is written there.

    Args:
        rows: name, mean error, frame uint8 RGB (h, w, 3), forward and reversed backward flow (h, w, 2).

    Returns:
        uint8 BGR.
    """
    drawn = [row for name, error, *pair in rows for row in _row(name, error, *pair)]
    titles = ('frame', 'forward flow', 'reversed backward flow', 'difference')
    return np.vstack([np.hstack([_label(title) for title in titles]), *drawn])


def flow_colours(flow: np.ndarray, longest: float) -> np.ndarray:
    """Directions as hues, lengths as saturation, full at `longest`: (h, w, 2) → uint8 BGR (h, w, 3)."""
    angle = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360
    length = np.clip(np.hypot(flow[..., 0], flow[..., 1]) / max(longest, 1e-6), 0, 1)
    hsv = np.stack([angle, length, np.ones_like(length)], axis=-1).astype(np.float32)
    return np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * 255).astype(np.uint8)


def _row(name: str, error: FlowError, frame, forward, backward) -> Iterator[np.ndarray]:
    longest = float(np.quantile(np.hypot(forward[..., 0], forward[..., 1]), 0.99))
    difference = np.hypot(*np.moveaxis(forward - backward, -1, 0))
    heat = np.clip(difference / max(longest, 1e-6) * 255, 0, 255).astype(np.uint8)
    shown = [frame[..., ::-1], flow_colours(forward, longest), flow_colours(backward, longest)]
    shown.append(cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO))
    height = round(frame.shape[0] * _COLUMN / frame.shape[1])
    shown = [cv2.resize(image, (_COLUMN, height), interpolation=cv2.INTER_AREA) for image in shown]
    _draw_wheel(shown[1])
    texts = [name, f'full colour: {longest:.2g} px', f'motion {error.motion:.2f} px', f'error {error.pixel:.3f} px']
    yield np.hstack(shown)
    yield np.hstack([_label(text) for text in texts])


def _draw_wheel(image: np.ndarray, side: int = 48) -> None:
    """The colours of all directions, in the upper left corner."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    corner = image[4 : 4 + side, 4 : 4 + side]
    inside = (np.hypot(x, y) <= 1)[: corner.shape[0], : corner.shape[1]]
    wheel = flow_colours(np.stack([x, y], axis=-1), 1)[: corner.shape[0], : corner.shape[1]]
    corner[inside] = wheel[inside]


def _label(text: str) -> np.ndarray:
    label = np.zeros((_STRIP, _COLUMN, 3), np.uint8)
    cv2.putText(label, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return label
