"""Validation and test data: whole clips, one at a time."""

from __future__ import annotations

import torch
from basicsr.utils import get_root_logger
from basicsr.utils.registry import DATASET_REGISTRY
from torch.utils import data

from basicsr_ssm.data.clip_set import ClipSet, to_tensor
from basicsr_ssm.data.mask_folder import MaskFolder


@DATASET_REGISTRY.register()
class MedicalClipTestDataset(data.Dataset):
    """Whole clips of any number, length, size and frame naming, read when asked for; ground truth is optional.

    Options:
        name: any name.
        dataroot_lq, io_backend, meta_info_file, scale: as in MedicalClipDataset.
        dataroot_gt: as there; leave it out to restore clips that have no ground truth.
        mask: a folder with a mask for each clip, for metrics inside of it: <clip>.png, or <source>.png for the clips
            <source>_0000, <source>_0001, … as `basicsr-ssm prepare` names them. White is inside.

    Attributes:
        data_info: ``data_info['folder']`` has the clip's name once for each frame of the set, in order. BasicSR's video
            models count the frames of a clip by it.

    Raises:
        DatasetError: see ``ClipSet``.
    """

    def __init__(self, opt: dict):
        super().__init__()
        self.opt = opt
        self._set = ClipSet(opt)
        self._masks = None if opt.get('mask') is None else MaskFolder(opt['mask'], self._set.clips)
        self.data_info = {'folder': [clip.name for clip in self._set.clips for _ in range(len(clip))]}
        get_root_logger().info(
            f'{opt.get("name", "test")}: {len(self)} clips, {len(self.data_info["folder"])} frames '
            f'{"with" if self._set.has_gt else "without"} ground truth from {self._set.origin}'
        )

    def __len__(self) -> int:
        return len(self._set.clips)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor | str]:
        """One clip.

        Returns:
            lq: (t, 3, h, w) float32, RGB in [0, 1].
            gt: (t, 3, scale·h, scale·w), only with ground truth.
            mask: (scale·h, scale·w) bool, only with the option mask.
            folder: the clip's name.
            lq_path: where the clip's LQ frames lie.
        """
        clip = self._set.clips[index]
        lqs, gts = [], []
        for i in range(len(clip)):
            lq, gt = self._set.read(clip, i)
            lqs.append(lq)
            gts.append(gt)
            self._set.check_same_size(clip, i, lqs[0], lq)
        item = {'lq': to_tensor(lqs), 'folder': clip.name, 'lq_path': self._set.where(clip)}
        if self._set.has_gt:
            item['gt'] = to_tensor(gts)
        if self._masks is not None:
            h, w = (n * self._set.scale for n in lqs[0].shape[:2])
            item['mask'] = torch.from_numpy(self._masks.read(clip, (h, w)))
        return item
