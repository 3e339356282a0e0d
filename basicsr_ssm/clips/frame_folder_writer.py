"""Write RGB frames to a folder of numbered PNG files, which appears only when complete."""

import os
import re
import shutil
from errno import EEXIST
from pathlib import Path

import cv2
import numpy as np

from basicsr_ssm.clips.video_encoding import OutputError
from basicsr_ssm.clips.writer_context import (
    WriterContext,
    missing_folders,
    part_beside,
    putting_in_place,
    remove_empty,
)

_FRAME_NAME = re.compile(r'\d{8}\.png')


def holds_only_frames(folder: Path) -> bool:
    """True for a folder with nothing but what FrameFolderWriter writes (also for an empty one): safe to replace."""
    return all(entry.is_file() and _FRAME_NAME.fullmatch(entry.name) for entry in folder.iterdir())


class FrameFolderWriter(WriterContext):
    """Write frames as ``<path>/<number, 8 digits>.png``. A context manager, as VideoWriter is.

    Until it is finished, the frames are in a hidden folder beside it, ``.<name>.<process id>.<…>.part``, and stay there
    if it cannot be put in place. An existing folder at ``path`` is replaced if it holds nothing but such frames, else
    left alone with an error.

    Args:
        path: the folder.
        size: (h, w) of every frame.
        start: number of the first frame: frames keep the numbers that they have in the source.
        replace: whether a folder that holds frames in the end is replaced; an empty one always is.

    Raises:
        OutputError: naming the folder or file, when it cannot be written or a frame does not fit.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], start: int = 0, replace: bool = True):
        self.path = Path(path)
        self.size = tuple(size)
        self.frames_written = 0
        self.notes: list[str] = []
        self.whole = True  # as VideoWriter's; pictures have no audio that could end early
        self._start = start
        self._replace = replace
        self._part = part_beside(self.path)
        self._made = missing_folders(self.path)
        try:
            self._part.mkdir(parents=True)
        except OSError as error:
            self.abort()
            raise OutputError(f'{self.path}: cannot make the folder: {error.strerror}') from error

    def write(self, frame: np.ndarray) -> None:
        """Append one frame, uint8 RGB of shape (h, w, 3)."""
        name = f'{self._start + self.frames_written:08d}.png'
        if frame.dtype != np.uint8 or frame.shape != (*self.size, 3):
            raise OutputError(
                f'{self.path / name}: the frame is {frame.dtype} {frame.shape}, expected uint8 {(*self.size, 3)}'
            )
        done, png = cv2.imencode('.png', cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        if not done:
            raise OutputError(f'{self.path / name}: the frame cannot be encoded as PNG')
        try:
            with open(self._part / name, 'wb') as file:
                file.write(png)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f'{self.path / name}: cannot write the frame: {error.strerror}') from error
        self.frames_written += 1

    def finish(self) -> None:
        """Move the folder to its name."""
        if self.frames_written == 0:
            self.abort()
            raise OutputError(f'{self.path}: no frame was written, so there is no folder')
        replaced = None
        with putting_in_place(self._part, self.path):
            if self.path.exists():
                self._check_replaced()
                replaced = part_beside(self.path, 'replaced')
                os.replace(self.path, replaced)
            try:
                os.replace(self._part, self.path)
            except BaseException:
                if replaced is not None and not self.path.exists():
                    os.replace(replaced, self.path)
                raise
        if replaced is not None:
            shutil.rmtree(replaced, ignore_errors=True)

    def _check_replaced(self) -> None:
        if not holds_only_frames(self.path):
            raise FileExistsError(EEXIST, 'it holds other things than frames and is not replaced')
        if not self._replace and any(self.path.iterdir()):
            raise FileExistsError(EEXIST, 'other frames have appeared there')

    def abort(self) -> None:
        """Drop everything: nothing is left at ``path`` that was not there before."""
        shutil.rmtree(self._part, ignore_errors=True)
        remove_empty(self._made)
