"""A sliding-window model on BasicSR's own data set: each item is one frame, under the name that its file has."""

import cv2
import numpy as np
from basicsr.utils.registry import ARCH_REGISTRY
from basicsr_logger import forget_log_file
from tiny_training import MiddleFrame, write_options

from basicsr_ssm import cli
from basicsr_ssm.clips.imresize import imresize_bicubic_up
from basicsr_ssm.tables.report.gather import gather
from basicsr_ssm.tables.report.results import read_all


@ARCH_REGISTRY.register()
class MiddleFrameTwice(MiddleFrame):
    """(n, t, c, h, w) → its frame in the middle, each pixel four times, (n, c, 2h, 2w)."""

    def forward(self, lq):
        return super().forward(lq).repeat_interleave(2, 2).repeat_interleave(2, 3)


OPTIONS = {
    'train': None,
    'network_g': {'type': 'MiddleFrameTwice'},
    'val:save_img': True,
    'datasets': {
        'test': {
            'name': 'windows',
            'type': 'VideoTestDataset',
            'dataroot_gt': 'GT',
            'dataroot_lq': 'LQ',
            'io_backend': {'type': 'disk'},
            'cache_data': False,
            'num_frame': 3,
            'padding': 'replicate',
        }
    },
}


def test_frames_keep_their_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ('clip', 'other'):
        for i in range(4):
            gt = rng.integers(0, 256, (12, 16, 3), np.uint8)
            for folder, frame in (('GT', gt), ('LQ', gt[::2, ::2] // (i + 2))):  # darker and darker
                (tmp_path / folder / name).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(f'{folder}/{name}/frame_{9 + i:03d}.png', frame)
    forget_log_file()
    assert cli.main(['test', '-opt', write_options(tmp_path, **OPTIONS)]) == 0
    forget_log_file()

    monkeypatch.chdir('/')  # paths of the test are relative to where it ran
    results = read_all([str(tmp_path / 'results/tiny')])
    (compared,) = gather(results)
    assert [method.name for method in compared.methods] == ['bicubic', 'tiny']
    for clip in ('clip', 'other'):
        bicubic, tiny = (method.by_frame[clip]['psnr'] for method in compared.methods)
        assert len(bicubic) == len(tiny) == 4 and sorted(tiny, reverse=True) == tiny
        for i in range(4):
            lq, gt = (cv2.imread(f'{tmp_path}/{folder}/{clip}/frame_{9 + i:03d}.png') for folder in ('LQ', 'GT'))
            low, truth = compared.source.frame(clip, i)
            np.testing.assert_array_equal(results[0].picture('windows', clip, i), lq.repeat(2, 0).repeat(2, 1))
            np.testing.assert_array_equal(low, imresize_bicubic_up(lq, 2))
            np.testing.assert_array_equal(truth, gt)
