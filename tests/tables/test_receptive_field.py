"""Effective receptive fields of networks whose field is known, and of one of BasicSR's."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from basicsr_ssm.errors import UserError
from basicsr_ssm.tables import field_picture
from basicsr_ssm.tables.measurements import MEASUREMENTS
from basicsr_ssm.tables.measurements.receptive_field import figures_of, radius_of

measure = MEASUREMENTS['receptive_field']


class FieldOfFive(nn.Module):
    """Sums 5×5 pixels of a frame and the one before, with half the weight, and adds the enlarged frame."""

    def forward(self, clip):
        weight = torch.ones(1, 1, 5, 5)
        n, t, c, h, w = clip.shape
        summed = F.conv2d(clip.flatten(0, 2)[:, None], weight, padding=2).view(n, t, c, h, w)
        summed = summed + 0.5 * torch.cat([torch.zeros_like(summed[:, :1]), summed[:, :-1]], 1)
        large = [summed.flatten(0, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)]
        large.append(F.interpolate(clip.flatten(0, 1), scale_factor=2, mode='bilinear', align_corners=False))
        return sum(large).unflatten(0, (n, t))


class Window(nn.Module):
    """One frame of a clip, the first pixel of the second frame everywhere."""

    def forward(self, clip):
        return clip[:, 1, :, :1, :1].expand(-1, -1, *clip.shape[3:])


@pytest.fixture(autouse=True)
def registered():
    for kind in (FieldOfFive, Window):
        ARCH_REGISTRY._do_register(kind.__name__, kind)
    yield
    for kind in (FieldOfFive, Window):
        del ARCH_REGISTRY._obj_map[kind.__name__]


def test_a_known_field(tmp_path):
    result = measure({'type': 'FieldOfFive'}, {'size': [20, 24], 'frames': 5, 'clips': 2, 'device': 'cpu'}, tmp_path)
    space = np.load(tmp_path / result['map'])
    expected = np.zeros((20, 24))
    expected[8:13, 10:15] = 3 * 1.5  # three channels, of this frame and the one before
    np.testing.assert_allclose(space, expected, atol=1e-6)
    assert result['share_above'] == dict.fromkeys(('10%', '1%', '0.1%', '0.01%'), pytest.approx(25 / 480))
    assert result['radius'] == {'50%': pytest.approx(2), '90%': pytest.approx(8**0.5)}
    np.testing.assert_allclose(result['by_frame'], [0, 1 / 3, 2 / 3, 0, 0], atol=1e-6)
    assert result['trained'] is False and result['clips'] == 2


def test_with_what_the_enlarged_frame_adds(tmp_path):
    settings = {'size': 20, 'frames': 3, 'clips': 1, 'device': 'cpu'}
    left_out, added = (
        np.load(
            tmp_path / measure({'type': 'FieldOfFive'}, {**settings, 'skip': skip, 'label': f'{skip}'}, tmp_path)['map']
        )
        for skip in (False, True)
    )
    # pixel 20 of the result is a quarter of a pixel before pixel 10
    row = np.zeros(20)
    row[9:11] = 0.25, 0.75
    np.testing.assert_allclose(added - left_out, 3 * np.outer(row, row), atol=1e-5)


def test_networks_of_one_frame_and_the_pictures(tmp_path):
    measure({'type': 'Window'}, {'size': 16, 'frames': 3, 'clips': 1, 'skip': True, 'device': 'cpu'}, tmp_path)
    settings = {'size': 16, 'frames': 3, 'clips': 1, 'label': 'five by five', 'device': 'cpu'}
    result = measure({'type': 'FieldOfFive'}, settings, tmp_path)
    assert result['picture'] == 'receptive_field_five_by_five.png'
    alone, window, both = (
        cv2.imread(str(tmp_path / name))
        for name in (result['picture'], 'receptive_field_Window.png', 'receptive_field.png')
    )
    assert both.shape == (alone.shape[0], alone.shape[1] + window.shape[1] + 24, 3)
    # the largest gradient is dark, none is white: 20 pixels a pixel, below the label
    top = field_picture._STRIP + 1
    assert (alone[top + 8 * 20 + 5, 1 + 8 * 20 + 5] == field_picture._DARK).all()
    assert (alone[top + 5, 1 + 5] == 255).all() and (window[top + 5, 1 + 5] == field_picture._DARK).all()


def test_radius():
    space = np.zeros((9, 9))
    space[4, 4], space[4, 7] = 3, 1
    assert (radius_of(space, 0.5), radius_of(space, 0.75), radius_of(space, 0.9)) == (0, 0, 3)


def test_darkness_is_logarithmic():
    np.testing.assert_allclose(field_picture.darkness(np.array([0, 1e-9, 1e-2, 1])), [0, 0, 0.5, 1])


@pytest.mark.parametrize('value', [0, np.nan])
def test_a_gradient_that_is_none(value):
    with pytest.raises(UserError, match='the gradient is zero, or not finite'):
        figures_of(np.full((2, 4, 4), value, np.float64))


def test_on_clips_of_ones_own(tmp_path):
    for clip in ('a', 'b', 'c'):
        (tmp_path / 'clips' / clip).mkdir(parents=True)
        for i in range(3):
            image = np.random.default_rng(i).integers(0, 255, (20, 26, 3), np.uint8)
            cv2.imwrite(str(tmp_path / f'clips/{clip}/{i:08d}.png'), image)
    settings = {'size': 16, 'frames': 3, 'clips': 2, 'data': str(tmp_path / 'clips'), 'device': 'cpu'}
    assert measure({'type': 'FieldOfFive'}, settings, tmp_path)['clips'] == 2
    with pytest.raises(UserError, match='has 3 frames of 26x20, less than 3 of 26x24'):
        measure({'type': 'FieldOfFive'}, {**settings, 'size': [24, 26]}, tmp_path)


def test_a_trained_network(tmp_path):
    network = {'type': 'BasicVSR', 'num_feat': 8, 'num_block': 1}
    net = ARCH_REGISTRY.get('BasicVSR')(num_feat=8, num_block=1)
    torch.save({'params': net.state_dict()}, tmp_path / 'net.pth')
    settings = {'frames': 3, 'clips': 1, 'weights': str(tmp_path / 'net.pth'), 'device': 'cpu'}
    result = measure(network, settings, tmp_path)
    assert result['trained'] is True and 0 < result['radius']['50%'] <= result['radius']['90%'] < 46
    assert len(result['by_frame']) == 3 and sum(result['by_frame']) == pytest.approx(1)
