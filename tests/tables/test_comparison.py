import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY
from basicsr_logger import forget_log_file
from tiny_training import MiddleFrame, write_options

from basicsr_ssm import cli
from basicsr_ssm.clips.imresize import imresize_bicubic_up
from basicsr_ssm.tables.comparison import bicubic_per_frame, markdown, means, side_by_side, upsampled


def bicubic_metrics(items, metrics, scale):
    return means(bicubic_per_frame(items, metrics, scale))


def test_flat_clips_are_restored_exactly():
    item = {'folder': 'flat', 'lq': torch.full((2, 3, 4, 5), 0.5), 'gt': torch.full((2, 3, 16, 20), 0.5)}
    table = bicubic_metrics([item], {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}, 4)
    assert table == {'flat': {'psnr': float('inf')}}


def test_clips_without_ground_truth_are_left_out():
    assert bicubic_metrics([{'folder': 'a', 'lq': torch.zeros(1, 3, 4, 4)}], {}, 4) == {}


def test_windows_are_measured_as_whole_clips():
    lq, gt = torch.rand(3, 3, 4, 5), torch.rand(3, 3, 16, 20)
    metrics = {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}
    windows = [{'folder': 'a', 'lq': torch.stack([lq[i - 1], lq[i], lq[i - 2]]), 'gt': gt[i]} for i in range(3)]
    by_frame = bicubic_per_frame([{'folder': 'a', 'lq': lq, 'gt': gt}], metrics, 4)
    assert len(set(by_frame['a']['psnr'])) == 3 and by_frame == bicubic_per_frame(windows, metrics, 4)
    mean = bicubic_metrics(windows, metrics, 4)
    assert mean == {'a': {'psnr': float(np.mean(by_frame['a']['psnr']))}}


def test_upsampled_is_bgr():
    lq = torch.zeros(3, 4, 4)
    lq[0] = 1  # red
    assert upsampled(lq, 2)[4, 4].tolist() == [0, 0, 255]


def test_table_has_means_and_gains_of_the_common_clips():
    bicubic = {'a': {'psnr': 30.0}, 'b': {'psnr': 32.0}}
    model = {'a': {'psnr': 31.0}, 'b': {'psnr': 32.5}, 'c': {'psnr': 1.0}, 'mean': {'psnr': 21.5}}
    lines = markdown(['bicubic', 'model'], [bicubic, model], ['psnr']).splitlines()
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    assert cells[0] == ['clip', 'bicubic PSNR', 'model PSNR', 'gain PSNR']
    assert cells[2:] == [
        ['a', '30.0000', '31.0000', '+1.0000'],
        ['b', '32.0000', '32.5000', '+0.5000'],
        ['**mean**', '31.0000', '31.7500', '+0.7500'],
    ]


def test_table_of_a_clip_whose_name_has_the_sign_between_cells():
    tables = [{'a|b': {'psnr': 30.0}}, {'a|b': {'psnr': 31.0}}]
    lines = markdown(['bicubic', 'model'], tables, ['psnr']).splitlines()
    assert lines[2].startswith('| a\\|b ') and len({len(line) for line in lines}) == 1
    assert all(line.replace('\\|', '').count('|') == 5 for line in lines)


def test_picture_shows_the_most_detailed_square():
    truth = np.zeros((80, 120, 3), np.uint8)
    rng = np.random.default_rng(0)
    truth[50:70, 90:110] = rng.integers(0, 255, (20, 20, 3))
    picture = side_by_side({'a': truth // 2, 'b': truth}, side=20, zoom=3)
    assert picture.shape == (32 + 40 + 60, 120, 3)
    detail = picture[-60:, -60:]
    np.testing.assert_array_equal(detail[::3, ::3], truth[50:70, 90:110])


@pytest.mark.parametrize(('height', 'width'), [(8, 600), (600, 8), (1, 1)])
def test_picture_of_a_narrow_frame(height, width):
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    picture = side_by_side({'a': frame, 'b': frame})
    side = min(height, width)
    shown = max(1, round(4 * side * height / width))
    assert picture.shape == (32 + shown + 4 * side, 8 * side, 3)


@ARCH_REGISTRY.register()
class MiddleFrameEnlarged(MiddleFrame):
    """(n, t, c, h, w) → its frame in the middle, each pixel four times, (n, c, 2h, 2w)."""

    def forward(self, lq):
        return super().forward(lq).repeat_interleave(2, 2).repeat_interleave(2, 3)


def run_and_compare(folder, **changes):
    """The results folder of a test that saved its images, and of `compare` after it."""
    option_file = write_options(folder, **{'train': None, 'val:save_img': True, **changes})
    for command in ('test', 'compare'):
        forget_log_file()
        assert cli.main([command, '-opt', option_file]) == 0
    forget_log_file()
    return folder / 'results/tiny'


def write_frames(names):
    rng = np.random.default_rng(0)
    for name in names:
        gt = rng.integers(0, 256, (12, 16, 3), np.uint8)
        for path, frame in ((Path('GT', name), gt), (Path('LQ', name), gt[::2, ::2])):
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), frame)


# name of the set, its options, its frames, and which of them is in the middle of the middle clip
WINDOWS = [
    (
        'windows',
        {'type': 'VideoTestDataset', 'num_frame': 3, 'padding': 'replicate'},
        [f'{clip}/frame_{9 + i:03d}.png' for clip in ('one', 'two') for i in range(5)],
        'two/frame_011.png',
        'two/frame_011_tiny.png',
    ),
    (
        'vimeo',
        {'type': 'VideoTestVimeo90KDataset', 'num_frame': 1, 'meta_info_file': 'meta.txt'},
        [f'00001/{i:04d}/im4.png' for i in (7, 8, 9)],
        '00001/0008/im4.png',
        'vimeo90k/00001_0008_tiny.png',
    ),
]


@pytest.mark.parametrize('name, options, frames, middle, saved', WINDOWS, ids=[case[0] for case in WINDOWS])
def test_compare_shows_the_middle_frame_of_windows(tmp_path, monkeypatch, name, options, frames, middle, saved):
    monkeypatch.chdir(tmp_path)
    write_frames(frames)
    Path('meta.txt').write_text(''.join(f'{Path(frame).parent} 7 (12,16,3)\n' for frame in frames))
    options = {'dataroot_gt': 'GT', 'dataroot_lq': 'LQ', 'io_backend': {'type': 'disk'}, 'cache_data': False, **options}
    network = {'type': 'MiddleFrameEnlarged'}
    results = run_and_compare(tmp_path, network_g=network, datasets={'test': {'name': name, **options}})

    lq, gt = (cv2.imread(f'{root}/{middle}') for root in ('LQ', 'GT'))
    enlarged = lq.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(cv2.imread(str(results / 'visualization' / name / saved)), enlarged)
    versions = {'LR': enlarged, 'bicubic': imresize_bicubic_up(lq, 2), network['type']: enlarged, 'ground truth': gt}
    np.testing.assert_array_equal(cv2.imread(str(results / 'comparison.png')), side_by_side(versions))
    table = json.loads((results / 'comparison.json').read_text())[name]
    assert [*table['bicubic'], 'mean'] == list(table['model'])


SETS = {f'test_{i}': {'name': f'set {i}', 'type': 'TinyTestClips', 'folders': ['a', 'b'][:i]} for i in (1, 2)}


def test_compare_keeps_every_data_set(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    results = run_and_compare(tmp_path, datasets=SETS)
    printed = capsys.readouterr().out
    text = (results / 'comparison.md').read_text()
    for line in text.splitlines():
        assert line in printed
    first, second = text.split('\n\nset 2\n\n')
    assert first.startswith('set 1\n\n| clip') and '| a ' in first and '| b ' not in first
    assert second.startswith('| clip') and '| b ' in second
    assert list(json.loads((results / 'comparison.json').read_text())) == ['set 1', 'set 2']
    for picture in ('comparison_set 1.png', 'comparison_set 2.png'):
        assert f'side by side: {results / picture}\n' in printed and cv2.imread(str(results / picture)) is not None
    assert not (results / 'comparison.png').exists()


def test_compare_of_a_set_whose_name_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sets = {key: {**options, 'name': f'sets/{key}'} for key, options in SETS.items()}
    results = run_and_compare(tmp_path, datasets=sets)
    assert sorted(path.name for path in results.glob('*.png')) == [f'comparison_sets_test_{i}.png' for i in (1, 2)]


def test_compare_of_one_data_set_leaves_the_usual_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    results = run_and_compare(tmp_path, datasets={'test': SETS['test_1']})
    text = (results / 'comparison.md').read_text()
    assert text.startswith('set 1\n\n| clip') and text.endswith(' |\n')
    assert f'{text}\nside by side: {results / "comparison.png"}\n' in capsys.readouterr().out
    assert sorted(path.name for path in results.glob('comparison*')) == [
        f'comparison.{e}' for e in ('json', 'md', 'png')
    ]


def test_compare_keeps_its_tables_without_the_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def broken(images):
        raise RuntimeError('no picture')

    monkeypatch.setattr('basicsr_ssm.tables.comparison.side_by_side', broken)
    with pytest.raises(RuntimeError, match='no picture'):
        run_and_compare(tmp_path, datasets={'test': SETS['test_1']})
    results = tmp_path / 'results/tiny'
    assert 'set 1' in json.loads((results / 'comparison.json').read_text())
    assert (results / 'comparison.md').read_text().startswith('set 1\n')
