"""Masks of clips, such as the fields of view that `basicsr-ssm prepare --masks` saves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from basicsr_ssm.data.clip_index import Clip, name_some
from basicsr_ssm.data.frame_store import DatasetError


class MaskFolder:
    """One PNG for each clip, or one for all clips of a source.

    Args:
        root: the folder.
        clips: those that need a mask.

    Raises:
        DatasetError: no such folder, or a clip has no mask.
    """

    def __init__(self, root: str | Path, clips: Iterable[Clip]):
        self.root = Path(root)
        if not self.root.is_dir():
            raise DatasetError(f'mask: no such folder: {self.root}')
        self._files = {clip.name: self._find(clip.name) for clip in clips}
        absent = [name for name, file in self._files.items() if file is None]
        if absent:
            raise DatasetError(f'mask: {self.root} has no PNG for {name_some(absent)}')

    def read(self, clip: Clip, size: tuple[int, int]) -> np.ndarray:
        """The mask, bool (h, w).

        Raises:
            DatasetError: the file cannot be read, or its size is not `size`.
        """
        file = self._files[clip.name]
        mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise DatasetError(f'cannot decode mask {file}')
        if mask.shape != size:
            (h, w), (want_h, want_w) = mask.shape, size
            raise DatasetError(f'mask {file} is {h}×{w} (h×w), but the GT of clip {clip.name} is {want_h}×{want_w}')
        return mask >= 128

    def _find(self, clip: str) -> Path | None:
        names = (clip, re.sub(r'_[0-9]+$', '', clip))
        return next((file for name in names if (file := self.root / f'{name}.png').is_file()), None)
