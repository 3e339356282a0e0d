"""Masks of clips, such as the fields of view that `basicsr-ssm prepare --masks` saves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from basicsr_ssm.data.clip_index import Clip, name_some
from basicsr_ssm.data.frame_store import DatasetError


class MaskFolder:
    """One PNG for each clip, ``<clip>.png``, or one for all clips of a source, ``<source>.png``.

    Which source a clip is of says the ``manifest.json`` of the prepared data set that the folder lies in. Without one
    it is the clip's name up to its number: ``exam`` for ``exam_0001``.

    Args:
        root: the folder, in a data set of `basicsr-ssm prepare` ``<data set>/<split>/masks``.
        clips: those that need a mask.

    Raises:
        DatasetError: no such folder; a clip has no mask, or, without a manifest, two that might be its; the manifest
            cannot be read.
    """

    def __init__(self, root: str | Path, clips: Iterable[Clip]):
        self.root = Path(root)
        if not self.root.is_dir():
            raise DatasetError(f'mask: no such folder: {self.root}')
        self._source_of = _sources_of_clips(self.root.absolute().parent.parent / 'manifest.json')
        self._sources = set(self._source_of.values())
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
        source = self._source_of.get(clip)
        own, shared = (self.root / f'{name}.png' for name in (clip, source or re.sub(r'_[0-9]+$', '', clip)))
        if clip in self._sources:  # called as a clip of another one, exam_0001 beside exam
            return shared if shared.is_file() else None
        if source is None and own != shared and own.is_file() and shared.is_file():
            raise DatasetError(
                f'mask: {self.root} has both {own.name} and {shared.name}, and no manifest.json of the data set says '
                f'whether the first is of clip {clip} or of a source of that name; leave the masks where prepare put '
                f'them, or remove the one that is not meant'
            )
        return next((file for file in (own, shared) if file.is_file()), None)


def _sources_of_clips(manifest: Path) -> dict[str, str]:
    """Clip → its source, as the manifest of a prepared data set has it; empty where there is none."""
    try:
        content = json.loads(manifest.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise DatasetError(f'mask: cannot read {manifest}, which says whose masks these are: {error}') from error
    try:
        return {clip['name']: clip['source'] for clip in content['clips']}
    except (KeyError, TypeError):  # of another program
        return {}
