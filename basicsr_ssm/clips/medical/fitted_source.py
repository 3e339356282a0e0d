"""Sources of many sizes brought to the one size that a data set has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from basicsr_ssm.clips.frame_source import DamagedSourceError, FrameSource
from basicsr_ssm.clips.medical.area import area_mean
from basicsr_ssm.errors import UserError

RULE = 'centre crop to the aspect, then area mean; never enlarged'  # written into manifests and recipes


class FittedSource(FrameSource):
    """Another source at the size (h, w): its largest centred window of that aspect, shrunk by area means.

    Raises:
        UserError: that window is smaller than `size`: enlarged frames are no ground truth.
    """

    def __init__(self, source: FrameSource, size: tuple[int, int]):
        self._source, self.size = source, tuple(size)
        self.path, self.name, self.fps = source.path, source.name, source.fps
        self.frame_count, self.has_audio, self.gaps = source.frame_count, source.has_audio, source.gaps
        self.turned = source.turned
        self.window = centred_window(source.size, size)
        (top, bottom), (left, right) = ((part.start, part.stop) for part in self.window)
        if bottom - top < size[0] or right - left < size[1]:
            (h, w), (want_h, want_w) = source.size, size
            reason = f'is {w}x{h} (width x height), too small for {want_w}x{want_h}: frames are never enlarged'
            raise UserError(f'{source.path}: {reason}')

        if source.mask is not None:  # a pixel is seen where all that it is the mean of is seen
            self.mask = self._fit(255 * source.mask[..., None].astype(np.uint8))[..., 0] == 255

    def frames(self) -> Iterator[np.ndarray]:
        yield from map(self._fit, self._source.frames())

    def frames_around_damage(self) -> Iterator[np.ndarray | DamagedSourceError]:
        for frame in self._source.frames_around_damage():
            yield frame if isinstance(frame, DamagedSourceError) else self._fit(frame)

    def found(self) -> dict:
        return {**self._source.found(), 'fitted_from': list(self._source.size)}

    def _fit(self, frame: np.ndarray) -> np.ndarray:
        part = frame[self.window]
        return np.ascontiguousarray(part) if part.shape[:2] == self.size else area_mean(part, self.size)


def centred_window(size: tuple[int, int], aspect: tuple[int, int]) -> tuple[slice, slice]:
    """The largest window of (h, w) = `aspect` in a frame of `size`, in whole pixels; what is odd goes to the end."""
    (height, width), (h, w) = size, aspect
    inner = (width * h // w, width) if height * w >= width * h else (height, height * w // h)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    return slice(top, top + inner[0]), slice(left, left + inner[1])
