"""The clips of one dataset block of an option file: where they lie, and frames checked as they are read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from basicsr_ssm.data.clip_index import Clip, index_clips
from basicsr_ssm.data.frame_store import DatasetError, FolderFrames, LmdbFrames


class ClipSet:
    """The clips that ``dataroot_lq``, ``dataroot_gt``, ``io_backend`` and ``meta_info_file`` describe.

    Args:
        opt: The dataset block, with ``scale`` as BasicSR puts it there.
        gt_alone: Read the clips of ``dataroot_gt`` in the place of LQ, for LQ that is made from them.

    Attributes:
        clips: All clips, in natural order of their names.
        has_gt: Whether there is ground truth.
        scale: GT size / LQ size.
        origin: Where the list of clips comes from, for a log line.

    Raises:
        DatasetError: an option is missing or wrong, or the clips are not usable (see ``index_clips``).
    """

    def __init__(self, opt: dict, gt_alone: bool = False):
        self.scale = positive_int(opt, 'scale')
        self._lq = _open_store(opt, 'dataroot_gt' if gt_alone else 'dataroot_lq')
        self.has_gt = not gt_alone and opt.get('dataroot_gt') is not None
        self._gt = _open_store(opt, 'dataroot_gt') if self.has_gt else None
        self.clips, meta_path = index_clips(self._lq, self._gt, opt.get('meta_info_file'))
        self.origin = str(meta_path or self._lq.root)

    def where(self, clip: Clip) -> str:
        """Path of the clip's LQ frames: for LMDB the database's path and the clip's name."""
        return (self._lq.root / clip.name).as_posix()

    def read(self, clip: Clip, i: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Read frame ``i`` of a clip.

        Returns:
            LQ (h, w, 3) and GT (scale·h, scale·w, 3) or None; uint8, BGR.

        Raises:
            DatasetError: a frame is missing or damaged, or the sizes do not fit together.
        """
        lq = self._lq.read(clip.lq[i])
        if not self.has_gt:
            return lq, None
        gt = self._gt.read(clip.gt[i])
        (h, w), (gt_h, gt_w) = lq.shape[:2], gt.shape[:2]
        if (gt_h, gt_w) != (h * self.scale, w * self.scale):
            raise DatasetError(
                f'clip {clip.name}: GT is {gt_h}×{gt_w} (h×w) but LQ is {h}×{w}, not 1/{self.scale} of it, '
                f'at {self._gt.where(clip.gt[i])} and {self._lq.where(clip.lq[i])}'
            )
        return lq, gt

    def check_same_size(self, clip: Clip, i: int, first: np.ndarray, lq: np.ndarray) -> None:
        """Raise DatasetError if LQ frame ``i`` differs in size from the first one that was read of this clip."""
        if lq.shape != first.shape:
            raise DatasetError(
                f'clip {clip.name}: frames change size, from {first.shape[0]}×{first.shape[1]} '
                f'to {lq.shape[0]}×{lq.shape[1]} (h×w) at {self._lq.where(clip.lq[i])}'
            )


def to_tensor(frames: Sequence[np.ndarray]) -> torch.Tensor:
    """Stack t frames or views, (h, w, 3) uint8 BGR, into (t, 3, h, w) float32 RGB in [0, 1]."""
    h, w = frames[0].shape[:2]
    clip = np.empty((len(frames), 3, h, w), np.float32)
    for out, frame in zip(clip, frames, strict=True):
        out[...] = frame[..., ::-1].transpose(2, 0, 1)
    clip /= np.float32(255)
    return torch.from_numpy(clip)


def positive_int(opt: dict, key: str) -> int:
    """Option ``key`` as a whole number of at least 1, or a DatasetError."""
    value = opt.get(key)
    if type(value) is not int or value < 1:
        raise DatasetError(f'option {key} must be a whole number of at least 1, not {value!r}')
    return value


def _open_store(opt: dict, key: str) -> FolderFrames | LmdbFrames:
    root = opt.get(key)
    if root is None:
        raise DatasetError(f'option {key} is missing')
    is_lmdb = str(root).rstrip('/').endswith('.lmdb')
    backend = (opt.get('io_backend') or {}).get('type')
    if backend not in ('disk', 'lmdb'):
        raise DatasetError(f'io_backend: {{type: {backend}}} is not known here; write disk or lmdb')
    if is_lmdb != (backend == 'lmdb'):
        kind = 'an LMDB folder' if is_lmdb else 'not an LMDB folder (those end in .lmdb)'
        raise DatasetError(f'{key}: {root} is {kind}, but io_backend says {{type: {backend}}}')
    try:
        return (LmdbFrames if is_lmdb else FolderFrames)(root)
    except DatasetError as error:
        raise DatasetError(f'{key}: {error}') from None
