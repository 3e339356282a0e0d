"""What every kind of input looks like to the rest of the package."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from basicsr_ssm.clips.clock import Clock
from basicsr_ssm.errors import UserError


class DamagedSourceError(UserError):
    """A source that cannot be read to its end.

    Attributes:
        path: the damaged file.
        frame_index: the 0-based frame that failed, or None when the fault is not in one frame.
        reason: what is wrong, in words.
    """

    def __init__(self, path: str | Path, frame_index: int | None, reason: str):
        where = '' if frame_index is None else f', frame {frame_index}'
        super().__init__(f'{path}{where}: {reason}')
        self.path, self.frame_index, self.reason = Path(path), frame_index, reason

    def __reduce__(self):
        return type(self), (self.path, self.frame_index, self.reason)


class FrameSource(ABC):
    """A sequence of equally sized RGB frames.

    Attributes:
        path: the file or folder.
        name: short and safe in file names and LMDB keys: only ``[A-Za-z0-9_-]``.
        fps: frames a second, None where the input does not say (a folder of images).
        clock: when each frame is shown, where the source is no video and tells that.
        size: (h, w) of every frame in pixels.
        frame_count: number of frames as far as it is known before reading, else None. An estimate.
        has_audio: whether the file also holds sound.
        gaps: numbers of the frames before which others are known to be missing.
        turned: whether the rows of the recording are columns of the frames, which are upright.
        mask: bool (h, w), the field of view, where it was asked for and found.
    """

    path: Path
    name: str
    fps: Fraction | None = None
    clock: Clock | None = None
    size: tuple[int, int]
    frame_count: int | None = None
    has_audio: bool = False
    gaps: tuple[int, ...] = ()
    turned: bool = False
    mask: np.ndarray | None = None

    @abstractmethod
    def frames(self) -> Iterator[np.ndarray]:
        """Read from the first frame on; each call starts anew.

        Yields:
            uint8 RGB, (h, w, 3), C-contiguous, with h, w as in `size`.

        Raises:
            DamagedSourceError: a frame cannot be decoded, has another size, or the source ends too early.
        """

    def frames_around_damage(self) -> Iterator[np.ndarray | DamagedSourceError]:
        """As frames(), but with the error in the place of each frame that cannot be used.

        It is the last one where what follows cannot be trusted, as in compressed video.
        """
        try:
            yield from self.frames()
        except DamagedSourceError as error:
            yield error

    def progressive_frames(self) -> Iterator[np.ndarray]:
        """As frames(), of a source whose frames are woven of two fields: whole frames (see clips/interlace.py)."""
        from basicsr_ssm.clips.interlace import deinterlaced_arrays

        return deinterlaced_arrays(self.frames())

    def found(self) -> dict:
        """For the manifest: what was noticed in the frames that the last reading gave."""
        return {}

    def check_size(self, frame: np.ndarray, frame_index: int, path: Path | None = None) -> None:
        """Raise DamagedSourceError, naming `path`, when `frame` differs in size from the source."""
        if frame.shape[:2] != self.size:
            (h, w), (want_h, want_w) = frame.shape[:2], self.size
            reason = f'the frame size changes from {want_w}x{want_h} to {w}x{h} (width x height)'
            raise DamagedSourceError(path or self.path, frame_index, reason)


def safe_name(text: str) -> str:
    """A name of at most 100 characters out of ``[A-Za-z0-9_-]``, made from any text; with a - in front it
    would be taken for an option."""
    return re.sub(r'[^A-Za-z0-9_-]+', '_', text).strip('_').lstrip('-_')[:100] or 'source'
