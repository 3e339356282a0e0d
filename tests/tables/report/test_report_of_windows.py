"""A sliding-window model on BasicSR's own data set: each item is one frame, under the name that its file has."""

import shutil

import cv2
import numpy as np
import pytest
from basicsr.utils.registry import ARCH_REGISTRY
from basicsr_logger import forget_log_file
from tiny_training import MiddleFrame, write_options

from basicsr_ssm import cli
from basicsr_ssm.clips.imresize import imresize_bicubic_up
from basicsr_ssm.tables.report.frames import Chosen, load
from basicsr_ssm.tables.report.gather import gather
from basicsr_ssm.tables.report.named_results import read_all


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
        saved = results[0].pictures('windows', clip)
        for i in range(4):
            lq, gt = (cv2.imread(f'{tmp_path}/{folder}/{clip}/frame_{9 + i:03d}.png') for folder in ('LQ', 'GT'))
            low, truth = compared.source.frame(clip, i)
            np.testing.assert_array_equal(results[0].picture('windows', clip, saved[i]), lq.repeat(2, 0).repeat(2, 1))
            np.testing.assert_array_equal(low, imresize_bicubic_up(lq, 2))
            np.testing.assert_array_equal(truth, gt)


def results_of_windows(folder, names, **changes):
    """Results of a test on one clip of frames with these names; frame i of the ground truth is 10·i + noise."""
    rng = np.random.default_rng(0)
    for i, name in enumerate(names):
        gt = np.uint8(rng.integers(0, 9, (12, 16, 3)) + 10 * i)
        for side, frame in (('GT', gt), ('LQ', gt[::2, ::2])):
            path = folder / side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), frame)
    forget_log_file()
    assert cli.main(['test', '-opt', write_options(folder, **{**OPTIONS, **changes})]) == 0
    forget_log_file()
    return folder / 'results/tiny'


def check_frames(arguments, clip, expected):
    """Frame i of a clip looks as expected[i], whichever version of it."""
    (compared,) = gather(read_all(list(map(str, arguments))))
    for i, level in enumerate(expected):
        versions = load(compared, Chosen(clip, i, ''))
        assert list(versions)[0] == 'bicubic' and len(versions) == len(arguments) + 2
        for name, image in versions.items():
            assert image.mean() == pytest.approx(level + 4, abs=3), (i, name)
    return compared


def test_numbers_of_frames_without_zeros(tmp_path, monkeypatch):
    """BasicSR takes 1.png, 10.png, 2.png, …; with the suffix of a saved frame the order would be another."""
    monkeypatch.chdir(tmp_path)
    names = [f'clip/{i}.png' for i in (*range(1, 13), 100)]
    results = results_of_windows(tmp_path, sorted(names))
    check_frames([results], 'clip', range(0, 130, 10))

    # older results, and data that is not there any more: the same order, without the ground truth
    expected = [cv2.imread(str(tmp_path / 'GT' / name)).mean() for name in sorted(names)]
    for gone in ('LQ', 'results/tiny/options.json'):
        (tmp_path / gone).rename(tmp_path / 'gone' if gone == 'LQ' else tmp_path / 'gone.json')
        (compared,) = gather(read_all([str(results)]))
        shown = [load(compared, Chosen('clip', i, ''))['tiny'].mean() for i in range(13)]
        assert shown == pytest.approx(expected, abs=3)


def test_frames_of_vimeo_are_in_the_order_of_its_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips = ['00002/0002', '00001/0010', '00002/0001']
    (tmp_path / 'list.txt').write_text(''.join(f'{clip} 7 (12,16,3)\n' for clip in clips))
    names = [f'{clip}/im{k}.png' for clip in clips for k in (3, 4, 5)]
    opt = OPTIONS['datasets']['test'] | {'type': 'VideoTestVimeo90KDataset', 'meta_info_file': 'list.txt'}
    results = results_of_windows(tmp_path, names, datasets={'test': opt})
    check_frames([results], 'vimeo90k', [10, 40, 70])


def test_whole_clips_beside_windows_of_frames_that_count_from_one(tmp_path, monkeypatch):
    """Numbers of one and names of the other overlap, but mean neighbours."""
    monkeypatch.chdir(tmp_path)
    windows = results_of_windows(tmp_path, [f'clip/{i:08d}.png' for i in range(1, 6)])
    whole = tmp_path / 'results/whole'
    shutil.copytree(windows, whole)
    (whole / 'options.json').write_text(
        (windows / 'options.json')
        .read_text()
        .replace('"tiny"', '"whole"')
        .replace('"VideoTestDataset"', '"VideoRecurrentTestDataset"')
        .replace('"cache_data": false', '"cache_data": true')
    )
    for path in (whole / 'visualization/windows/clip').iterdir():
        path.rename(path.with_name(f'{int(path.name[:8]) - 1:08d}_whole.png'))
    for arguments in ([windows, whole], [whole, windows]):
        check_frames(arguments, 'clip', range(0, 50, 10))
