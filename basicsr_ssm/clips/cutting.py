"""How sources are cut into clips, and how the clips' frames are shrunk."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from basicsr_ssm.clips.blur_downsample import BD_SCALES, blur_downsample
from basicsr_ssm.clips.imresize import SCALES, imresize_bicubic
from basicsr_ssm.errors import UserError

# Name of a degradation → the start of its folders' names, what makes it, the scales that it knows
DEGRADATIONS: dict[str, tuple[str, Callable[[np.ndarray, int], np.ndarray], tuple[int, ...]]] = {
    'bicubic': ('BI', imresize_bicubic, SCALES),
    'bd': ('BD', blur_downsample, BD_SCALES),
}


@dataclass(frozen=True)
class Cutting:
    """How sources are cut.

    Attributes:
        clip_length: frames in a clip.
        stride: frames from the start of a clip to the start of the next.
        max_clips: clips taken from the start of a source, None for all.
        scales: low resolutions, each 1/scale.
        starts: first frames of the clips in rising order, instead of those that stride and max_clips give.
        degradations: how low resolutions are made, names of DEGRADATIONS; each makes a folder of its own.
        gaps: frames that do not follow on the one before, since some are missing there: no clip spans that.
    """

    clip_length: int
    stride: int
    max_clips: int | None
    scales: tuple[int, ...]
    starts: tuple[int, ...] | None = None
    degradations: tuple[str, ...] = ('bicubic',)
    gaps: tuple[int, ...] = ()

    @property
    def multiple(self) -> int:
        """Height and width of the ground truth are cropped, at the bottom and right, to multiples of this."""
        return math.lcm(*self.scales)

    @property
    def kinds(self) -> dict[str, int]:
        """Folder name → scale: GT, BIx4, BDx4, …"""
        named = {f'{DEGRADATIONS[name][0]}x{scale}': scale for name in self.degradations for scale in self.scales}
        return {'GT': 1, **named}

    def versions(self, frame: np.ndarray) -> dict[str, np.ndarray]:
        """Folder name → the frame, uint8 (h, w, 3), as it goes there: cropped, or cropped and shrunk."""
        h, w = (n // self.multiple * self.multiple for n in frame.shape[:2])
        frame = frame[:h, :w]
        versions = {'GT': frame}
        for name in self.degradations:
            start, shrink, _ = DEGRADATIONS[name]
            versions |= {f'{start}x{scale}': shrink(frame, scale) for scale in self.scales}
        return versions

    def check_degradations(self) -> None:
        """Raise UserError for an unknown degradation, or a scale that one of them does not know."""
        names = self.degradations
        if not names or set(names) - DEGRADATIONS.keys() or len(set(names)) < len(names):
            raise UserError(f'degradations must be different ones of {", ".join(DEGRADATIONS)}')
        for name in names:
            scales = DEGRADATIONS[name][2]
            if set(self.scales) - set(scales):
                raise UserError(f'degradation {name} is defined for scale {", ".join(map(str, scales))} only')

    @property
    def most_clips(self) -> int | None:
        """Of one source, where that does not depend on its length."""
        return self.max_clips if self.starts is None else len(self.starts)

    def frames_needed(self, frames: int | None) -> int | None:
        """How many of a source's frames are read, if nothing has to be left out."""
        most = self.most_clips
        if most is None or frames is None:
            return frames
        if not most:
            return 0
        last = (most - 1) * self.stride if self.starts is None else self.starts[-1]
        return min(frames, last + self.clip_length)
