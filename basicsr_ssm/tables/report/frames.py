"""The frames that a report shows: which ones, and all versions of each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import cv2
import numpy as np

from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.comparison import most_detailed
from basicsr_ssm.tables.report.gather import Compared
from basicsr_ssm.tables.report.named_results import BICUBIC, GROUND_TRUTH


@dataclass(frozen=True)
class Chosen:
    """A frame to show, and why: 'middle frame', 'largest gain of …' or ''."""

    clip: str
    frame: int
    why: str


@dataclass(frozen=True)
class Picture:
    """All versions of a frame, cropped alike.

    Attributes:
        chosen: which frame.
        versions: {name: PNG}, bicubic first, ground truth last, where there are any.
        values: {name: {metric: value of this frame}}.
        size: (h, w) of the versions.
        whole: (h, w) of the frame.
        corner: (y, x) of the versions in the frame.
        detail: (y, x) of the middle of the most detailed 32×32 pixels of the versions, away from their margins, where
            devices burn in text.
    """

    chosen: Chosen
    versions: dict[str, bytes]
    values: dict[str, dict[str, float]]
    size: tuple[int, int]
    whole: tuple[int, int]
    corner: tuple[int, int]
    detail: tuple[int, int]


def choose(compared: Compared, wanted: list[str] | None) -> list[Chosen]:
    """The frames of a data set to show, in the order of clips and frames.

    Args:
        wanted: CLIP:N, frame N of a clip, the first one being 0; or CLIP, three frames of it. None: three frames of the
            whole data set. The three are the middle one and those in which the last model gains the most and the least
            over bicubic (without bicubic: of its highest and lowest value) by the first metric.
    """
    if wanted is None:
        chosen = _three(compared, compared.clips)
    else:
        chosen = []
        for text in wanted:
            clip, frame = _parse(text, compared.clips)
            if clip not in compared.clips:
                continue
            chosen += _three(compared, [clip]) if frame is None else [Chosen(clip, frame, '')]
    together: dict[tuple[str, int], list[str]] = {}
    for one in chosen:
        together.setdefault((one.clip, one.frame), []).append(one.why)
    places = sorted(together, key=lambda place: (compared.clips.index(place[0]), place[1]))
    return [Chosen(*place, ', '.join(dict.fromkeys(filter(None, together[place])))) for place in places]


def check_wanted(wanted: list[str], data_sets: list[Compared]) -> None:
    """Raises UserError if a frame that is asked for is in none of the data sets."""
    clips = [clip for compared in data_sets for clip in compared.clips]
    for text in wanted:
        clip, frame = _parse(text, clips)
        if clip not in clips:
            near = difflib.get_close_matches(clip, clips, 3) or clips[:3]
            raise UserError(f'--frames {text}: no clip {clip}; there are, among {len(clips)}: {", ".join(near)}')
        counts = [_count(compared, clip) for compared in data_sets if clip in compared.clips]
        if frame is not None and frame >= max(counts):
            raise UserError(f'--frames {text}: {clip} has {max(counts)} frames, from 0 to {max(counts) - 1}')


def _parse(text: str, clips: list[str]) -> tuple[str, int | None]:
    clip, colon, frame = text.rpartition(':')
    if text in clips or not colon or not frame.isdecimal():
        return text, None
    return clip, int(frame)


def _count(compared: Compared, clip: str) -> int:
    """Frames of a clip, by what was measured of it, or else what was saved."""
    measured = [len(v) for method in compared.methods for v in method.by_frame.get(clip, {}).values()]
    saved = [len(m.results.pictures(compared.name, clip)) for m in compared.methods if m.results]
    return max(measured or saved)


def _three(compared: Compared, clips: list[str]) -> list[Chosen]:
    middle = clips[len(clips) // 2]
    if not _count(compared, middle):
        return []
    chosen = [Chosen(middle, _count(compared, middle) // 2, 'middle frame')]
    model, bicubic, metric = compared.methods[-1], compared.bicubic, compared.metrics[0]
    sign = -1 if metric in compared.lower else 1
    ranked = []
    for clip in clips:
        values = np.array(model.by_frame.get(clip, {}).get(metric, ()))
        if bicubic is not None:
            base = np.array(bicubic.by_frame.get(clip, {}).get(metric, ()))
            values = values - base if len(base) == len(values) else np.array(())
        ranked += [(sign * value, clip, frame) for frame, value in enumerate(values.tolist()) if np.isfinite(value)]
    if ranked:
        what = f'gain of {model.name}' if bicubic is not None else f'{metric.upper()} of {model.name}'
        words = ('largest', 'smallest') if bicubic is not None else ('best', 'worst')
        for word, (_, clip, frame) in zip(words, (max(ranked), min(ranked)), strict=True):
            chosen.append(Chosen(clip, frame, f'{word} {what}'))
    return chosen


def load(compared: Compared, chosen: Chosen) -> dict[str, np.ndarray]:
    """{name: uint8 BGR (h, w, 3)} of a frame: bicubic, the models that saved it, ground truth.

    {} where no model saved it, and where methods have different numbers of frames: which is which is not known then.

    Raises:
        UserError: a saved frame is missing or damaged, or of another size than the others.
    """
    clip, frame = chosen.clip, chosen.frame
    counts = {_count_of(method.by_frame[clip]) for method in compared.methods if clip in method.by_frame}
    stems = compared.source.stems(clip) if compared.source else ()
    versions, files = {}, {}
    for method in compared.methods:
        saved = method.results.pictures(compared.name, clip, stems) if method.results else []
        if not saved or len(counts) > 1:
            continue
        if counts and len(saved) not in counts:
            raise UserError(
                f'{method.name}: {len(saved)} images of {clip} were saved, but {max(counts)} frames measured: '
                f'which is which? Test it again'
            )
        if frame < len(saved):
            versions[method.name] = method.results.picture(compared.name, clip, saved[frame])
            files[method.name] = saved[frame]
    if versions and compared.bicubic is not None and clip in compared.bicubic.by_frame:
        low, truth = compared.source.frame(clip, frame)
        versions = {BICUBIC: low, **versions, GROUND_TRUTH: truth}
    _check_sizes(versions, f'{compared.name}, {clip}', files, frame)
    return versions


def _check_sizes(versions: dict[str, np.ndarray], where: str, files: dict[str, str], frame: int) -> None:
    *_, last = versions or [None]
    for name, image in versions.items():
        if image.shape != versions[last].shape:
            (h, w), (height, width) = image.shape[:2], versions[last].shape[:2]
            file = files.get(name, f'frame {frame}')
            raise UserError(f'{where}, {file}: {name} is {w}×{h}, {last} is {width}×{height}')


def _count_of(values: dict[str, list[float]]) -> int:
    return max(map(len, values.values()), default=0)


def picture(compared: Compared, chosen: Chosen, versions: dict[str, np.ndarray], side: int) -> Picture:
    """The versions as PNG, no side longer than ``side`` pixels: else their most detailed part."""
    *_, reference = versions.values()
    whole = reference.shape[:2]
    h, w = (min(side, n) for n in whole)
    y, x = most_detailed(reference, h, w)
    top, left = h // 4, w // 4
    middle = reference[y + top : y + h - top, x + left : x + w - left]
    lens = min(32, *middle.shape[:2])
    inside = most_detailed(middle, lens, lens)
    detail = top + inside[0] + lens // 2, left + inside[1] + lens // 2
    values = {}
    for method in compared.methods:
        of_clip = method.by_frame.get(chosen.clip, {})
        values[method.name] = {m: v[chosen.frame] for m, v in of_clip.items() if chosen.frame < len(v)}
    encoded = {name: _png(image[y : y + h, x : x + w]) for name, image in versions.items()}
    return Picture(chosen, encoded, values, (h, w), whole, (y, x), detail)


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode('.png', image, [cv2.IMWRITE_PNG_COMPRESSION, 6])[1].tobytes()
