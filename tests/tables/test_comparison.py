import numpy as np
import torch

from basicsr_ssm.tables.comparison import bicubic_metrics, bicubic_per_frame, markdown, side_by_side, upsampled


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


def test_picture_shows_the_most_detailed_square():
    truth = np.zeros((80, 120, 3), np.uint8)
    rng = np.random.default_rng(0)
    truth[50:70, 90:110] = rng.integers(0, 255, (20, 20, 3))
    picture = side_by_side({'a': truth // 2, 'b': truth}, side=20, zoom=3)
    assert picture.shape == (32 + 40 + 60, 120, 3)
    detail = picture[-60:, -60:]
    np.testing.assert_array_equal(detail[::3, ::3], truth[50:70, 90:110])
