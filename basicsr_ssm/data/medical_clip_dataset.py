"""Training data: random windows and patches of clips."""

from __future__ import annotations

import random
from bisect import bisect_right
from itertools import accumulate

import torch
from basicsr.utils import get_root_logger
from basicsr.utils.registry import DATASET_REGISTRY
from torch.utils import data

from basicsr_ssm.data.clip_index import Clip, frame_name, name_some
from basicsr_ssm.data.clip_set import ClipSet, positive_int, to_tensor
from basicsr_ssm.data.degradations import Degradation, DegradationError
from basicsr_ssm.data.frame_store import DatasetError


@DATASET_REGISTRY.register()
class MedicalClipDataset(data.Dataset):
    """Windows of ``num_frame`` frames from clips of any length and frame naming, cropped and augmented.

    There is one index for each window (clip, first frame) that lies inside its clip. BasicSR's REDSRecurrentDataset
    has one for each frame instead and draws again where the window would run out of the clip. Both sample the windows
    of a clip evenly; here an epoch is shorter by the windows that do not exist, and clips of different lengths weigh
    by their windows, not their frames.

    All randomness of a sample is drawn in BasicSR's order. Where the sampler gives an index with a ``draw`` attribute,
    it is a function of (``seed``, ``draw``) alone, whatever worker serves it; with a plain int, Python's global
    ``random`` serves as in BasicSR.

    Options:
        dataroot_gt, dataroot_lq: a folder with a folder of frames for each clip, or a ``*.lmdb`` folder.
        io_backend: ``{type: disk}`` or ``{type: lmdb}``.
        meta_info_file: lines ``<clip> <frames> (<h>,<w>,<c>)`` that select the clips. For folders, default
            ``meta_info.txt`` beside ``dataroot_gt`` if there is one, else every clip found.
        num_frame: frames of a window.
        gt_size: side of the square GT patch in pixels, a multiple of ``scale``.
        interval_list: frame distances to choose from. Default: [1].
        random_reverse: reverse half of the windows in time. Default: False.
        flip_sequence: let each window run back again from its last frame, which doubles it (7 frames to 14), as it is
            usual for Vimeo-90K. Default: False.
        use_hflip: flip half of the patches left to right. Default: True.
        use_rot: flip half of them top to bottom and transpose half of them. Default: True.
        short_clips: what to do about clips without a single whole window: ``error`` or ``skip``. Default: error.
        seed: see above. Default: 0.
        degradation: make LQ from GT instead of reading it, with blur, noise and compression (see ``Degradation``); no
            dataroot_lq then. Drawn from the same randomness as patch and augmentation, after them.
        scale: GT size / LQ size, which BasicSR copies here from the top of the option file.

    Raises:
        DatasetError: see ``ClipSet``; also a clip that is too short, a wrong option, or a frame smaller than the patch.
    """

    def __init__(self, opt: dict):
        super().__init__()
        self.opt = opt
        if opt.get('dataroot_gt') is None:
            raise DatasetError('option dataroot_gt is missing: training needs ground truth')
        self._degrade = _degradation_of(opt)
        self._set = ClipSet(opt, gt_alone=self._degrade is not None)
        self._num_frame = positive_int(opt, 'num_frame')
        self._patch = positive_int(opt, 'gt_size')
        if self._patch % self._set.scale:
            raise DatasetError(f'gt_size {self._patch} is not a multiple of the scale {self._set.scale}')
        self._intervals = opt.get('interval_list', [1])
        if not isinstance(self._intervals, list) or not self._intervals:
            raise DatasetError(f'option interval_list must be a list such as [1, 2], not {self._intervals!r}')
        for interval in self._intervals:
            positive_int({'interval_list': interval}, 'interval_list')
        self._reverse, self._mirror = opt.get('random_reverse', False), opt.get('flip_sequence', False)
        self._hflip, self._rot = opt.get('use_hflip', True), opt.get('use_rot', True)
        self._seed = opt.get('seed', 0)

        self._clips = self._usable(opt.get('short_clips', 'error'))
        # _ends[k]: number of windows in clips 0 … k
        self._ends = list(accumulate(len(clip) - self._span(min(self._intervals)) + 1 for clip in self._clips))
        get_root_logger().info(
            f'{opt.get("name", "train")}: {len(self._clips)} clips, {sum(map(len, self._clips))} frames, {len(self)} '
            f'windows of {self._num_frame} frames from {self._set.origin}; intervals {self._intervals}'
            + (f'; LQ made from GT: {self._degrade.options}' if self._degrade else '')
        )

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict[str, torch.Tensor | str]:
        """One sample.

        Returns:
            lq: (t, 3, gt_size / scale, gt_size / scale) float32, RGB in [0, 1]; t is num_frame, twice that with
                flip_sequence.
            gt: (t, 3, gt_size, gt_size), the same place of the same frames.
            key: ``<clip>/<frame>`` of the window's first frame in time.
        """
        draw = getattr(index, 'draw', None)
        rng = random if draw is None else random.Random(f'{self._seed}:{draw}')
        index = range(len(self))[index]
        which = bisect_right(self._ends, index)
        clip = self._clips[which]
        start = index - (self._ends[which - 1] if which else 0)

        interval = rng.choice(self._intervals)
        last = len(clip) - self._span(interval)
        if start > last:  # only with several intervals: this window exists at the smallest
            start = rng.randint(0, last)
        frames = range(start, start + self._span(interval), interval)
        if self._reverse and rng.random() < 0.5:
            frames = frames[::-1]

        lqs, gts = self._read_patches(clip, frames, rng)
        flip = self._hflip and rng.random() < 0.5, self._rot and rng.random() < 0.5, self._rot and rng.random() < 0.5
        lqs, gts = ([_turn(patch, *flip) for patch in patches] for patches in (lqs, gts))
        if self._degrade is not None:
            lqs = self._degrade(gts, rng)
        if self._mirror:
            lqs, gts = lqs + lqs[::-1], gts + gts[::-1]
        return {
            'lq': to_tensor(lqs),
            'gt': to_tensor(gts),
            'key': f'{clip.name}/{frame_name((clip.gt or clip.lq)[start])}',
        }

    def _span(self, interval: int) -> int:
        """Frames of the clip that a window covers."""
        return (self._num_frame - 1) * interval + 1

    def _usable(self, short_clips: str) -> list[Clip]:
        if short_clips not in ('error', 'skip'):
            raise DatasetError(f'option short_clips must be error or skip, not {short_clips!r}')
        need = self._span(max(self._intervals))
        clips = [clip for clip in self._set.clips if len(clip) >= need]
        short = [clip for clip in self._set.clips if len(clip) < need]
        if short:
            names = name_some(f'{clip.name} ({len(clip)} frames)' for clip in short)
            message = (
                f'shorter than the {need} frames that num_frame {self._num_frame} needs at interval '
                f'{max(self._intervals)}: {names}, in {self._set.origin}'
            )
            if short_clips == 'error' or not clips:
                raise DatasetError(f'{message}; short_clips: skip leaves such clips out')
            get_root_logger().warning(f'{message}; left out')
        for clip in clips:
            if clip.gt_size is not None:
                self._check_patch_fits(clip, *clip.gt_size)
        return clips

    def _check_patch_fits(self, clip: Clip, h: int, w: int) -> None:
        if self._patch > min(h, w):
            raise DatasetError(f'gt_size {self._patch} is larger than the {h}×{w} (h×w) GT frames of clip {clip.name}')

    def _read_patches(self, clip: Clip, frames: range, rng) -> tuple[list, list]:
        """The same random patch of the given frames: views of decoded frames, uint8 BGR; no LQ that is to be made."""
        lqs, gts = [], []
        scale, size = self._set.scale, self._patch // self._set.scale
        for i in frames:
            lq, gt = self._set.read(clip, i)
            if gt is None:
                gt, lq = lq, lq[: lq.shape[0] // scale, : lq.shape[1] // scale]  # of LQ only the size counts
            if not gts:
                first = lq
                h, w = lq.shape[:2]
                self._check_patch_fits(clip, h * scale, w * scale)
                top, left = rng.randint(0, h - size), rng.randint(0, w - size)
            self._set.check_same_size(clip, i, first, lq)
            lqs.append(lq[top : top + size, left : left + size])
            gts.append(gt[top * scale : (top + size) * scale, left * scale : (left + size) * scale])
        return lqs, gts


def _degradation_of(opt: dict) -> Degradation | None:
    if opt.get('degradation') is None:
        return None
    if opt.get('dataroot_lq') is not None:
        raise DatasetError('options degradation and dataroot_lq: LQ is either made from GT or read; give one of them')
    try:
        return Degradation(opt['degradation'], positive_int(opt, 'scale'))
    except DegradationError as error:
        raise DatasetError(f'option degradation: {error}') from None


def _turn(patch, hflip: bool, vflip: bool, transpose: bool):
    """Flip left-right, then top-bottom, then transpose (h, w, c), each where asked: together all eight orientations."""
    if hflip:
        patch = patch[:, ::-1]
    if vflip:
        patch = patch[::-1]
    return patch.transpose(1, 0, 2) if transpose else patch
