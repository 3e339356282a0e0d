"""A source without what does not belong into clips: borders, overlays, interlacing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from basicsr_ssm.clips.field_of_view import FieldOfView, bounds
from basicsr_ssm.clips.footage import Footage, Region
from basicsr_ssm.clips.frame_source import DamagedSourceError, FrameSource
from basicsr_ssm.clips.interlace import COMBED_FRAMES, is_combed
from basicsr_ssm.clips.sources import open_source
from basicsr_ssm.errors import UserError

SURVEY_STEP = 5  # every fifth frame is looked at


def open_footage(path: str | Path, footage: Footage) -> FrameSource:
    """open_source, edited as `footage` says."""
    source = open_source(path)
    return EditedSource(source, footage) if footage.edits else source


class EditedSource(FrameSource):
    """Another source, its frames deinterlaced, blanked and cropped, in this order.

    Cropping to the field of view and finding out about interlacing read the whole source once before.

    Args:
        source: the frames.
        footage: what to do.

    Raises:
        UserError: a region outside of the frames, where an overlay that was to go would stay, or nothing left.
        DamagedSourceError: the source cannot be read to its end, and `footage.damaged` is 'refuse'.
    """

    def __init__(self, source: FrameSource, footage: Footage):
        self._source, self._footage = source, footage
        self.path, self.name, self.fps = source.path, source.name, source.fps
        self.frame_count, self.has_audio, self.gaps = source.frame_count, source.has_audio, source.gaps
        self.turned = source.turned
        h, w = source.size
        for x, y, width, height in (*footage.blank, *footage.drop_regions):
            if x + width > w or y + height > h:
                region = f'{x},{y},{width},{height}'
                raise UserError(f'{source.path}: the region {region} is not inside its {w}x{h} frames')
        self._interlaced = False
        field = self._survey() if footage.crop_borders or footage.masks or footage.deinterlace != 'off' else None
        content = (0, 0, w, h) if field is None or not footage.crop_borders else bounds(field)
        for region in footage.drop_regions:
            content = _beside(region, content, source.path)
        self._crop: Region = content
        self.size = content[3], content[2]
        if footage.crop_borders or footage.masks:
            mask = np.ones((h, w), bool) if field is None else field
            for x, y, width, height in footage.blank:
                mask[y : y + height, x : x + width] = False
            self.mask = self._cropped(mask)

    def frames(self) -> Iterator[np.ndarray]:
        for frame in self._source.progressive_frames() if self._interlaced else self._source.frames():
            yield np.ascontiguousarray(self._cropped(self._blanked(frame)))

    def frames_around_damage(self) -> Iterator[np.ndarray | DamagedSourceError]:
        if self._interlaced:  # every frame is made of its neighbours, too
            yield from super().frames_around_damage()
            return
        for frame in self._source.frames_around_damage():
            is_frame = isinstance(frame, np.ndarray)
            yield np.ascontiguousarray(self._cropped(self._blanked(frame))) if is_frame else frame

    def found(self) -> dict:
        deinterlaced = self._footage.deinterlace if self._interlaced else None
        return {**self._source.found(), 'crop': list(self._crop), 'deinterlaced': deinterlaced}

    def _survey(self) -> np.ndarray | None:
        """Look through the source: sets whether it is interlaced; returns its field of view."""
        field, combed, seen = FieldOfView(self._source.size), 0, 0
        refuse = self._footage.damaged == 'refuse'
        frames = self._source.frames() if refuse else self._source.frames_around_damage()
        for number, frame in enumerate(frames):
            if number % SURVEY_STEP or isinstance(frame, DamagedSourceError):
                continue
            field.add(self._blanked(frame))
            combed += is_combed(frame, self.turned)
            seen += 1
        self._interlaced = self._footage.deinterlace != 'off' and combed > COMBED_FRAMES * seen
        return field.mask()

    def _blanked(self, frame: np.ndarray) -> np.ndarray:
        if self._footage.blank:
            frame = frame.copy()
        for x, y, w, h in self._footage.blank:
            frame[y : y + h, x : x + w] = 0
        return frame

    def _cropped(self, frame: np.ndarray) -> np.ndarray:
        x, y, w, h = self._crop
        return frame[y : y + h, x : x + w]


def _beside(region: Region, content: Region, path: Path) -> Region:
    """The largest part of `content` above, below, left or right of `region`."""
    (x, y, w, h), (left, top, width, height) = region, content
    right, bottom = left + width, top + height
    if x >= right or y >= bottom or x + w <= left or y + h <= top:
        return content
    parts = [
        (left, top, width, y - top),
        (left, y + h, width, bottom - y - h),
        (left, top, x - left, height),
        (x + w, top, right - x - w, height),
    ]
    best = max(parts, key=lambda part: max(part[2], 0) * max(part[3], 0))
    if min(best[2:]) < 1:
        raise UserError(f'{path}: nothing is left beside the region {x},{y},{w},{h}')
    return best
