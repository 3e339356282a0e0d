import numpy as np
import pytest
from basicsr.metrics import calculate_psnr, calculate_ssim

from basicsr_ssm.errors import UserError
from basicsr_ssm.metrics import calculate_masked_psnr, calculate_masked_ssim, measure

PAIRS = [(calculate_masked_psnr, calculate_psnr), (calculate_masked_ssim, calculate_ssim)]


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    gt = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
    return (gt + rng.normal(0, 12, gt.shape)).clip(0, 255).astype(np.uint8), gt


@pytest.mark.parametrize(('ours', 'basicsrs'), PAIRS)
@pytest.mark.parametrize('options', [{}, {'crop_border': 3}, {'test_y_channel': True}])
def test_a_whole_mask_gives_basicsrs_value(pair, ours, basicsrs, options):
    expected = basicsrs(*pair, **{'crop_border': 0, **options})
    assert ours(*pair, np.ones((40, 56), bool), **options) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(('ours', 'basicsrs'), PAIRS)
def test_only_what_is_inside_counts(pair, ours, basicsrs):
    image, gt = pair
    mask = np.zeros((40, 56), bool)
    mask[5:30, 10:41] = True
    expected = basicsrs(image[5:30, 10:41], gt[5:30, 10:41], crop_border=0)
    assert ours(image, gt, mask) == pytest.approx(expected, abs=1e-9)
    spoilt = np.where(mask[..., None], image, 255 - image)
    assert ours(spoilt, gt, mask) == ours(image, gt, mask)
    assert basicsrs(spoilt, gt, crop_border=0) != pytest.approx(expected, abs=1e-3)


def test_equal_frames(pair):
    mask = np.ones((40, 56), bool)
    assert calculate_masked_psnr(pair[1], pair[1], mask) == float('inf')
    assert calculate_masked_ssim(pair[1], pair[1], mask) == pytest.approx(1)


def test_masks_that_are_too_small(pair):
    mask = np.zeros((40, 56), bool)
    with pytest.raises(UserError, match='the mask is empty'):
        calculate_masked_psnr(*pair, mask)
    mask[:10, :] = True
    with pytest.raises(UserError, match='no window of 11x11'):
        calculate_masked_ssim(*pair, mask)


def test_measure_names_the_clip(pair):
    with pytest.raises(UserError, match='clip a: calculate_masked_psnr needs a mask: set the option mask'):
        measure({'type': 'calculate_masked_psnr'}, *pair, 'a')
    with pytest.raises(UserError, match=r'clip a: .*Mask and image shapes are different'):
        measure({'type': 'calculate_masked_psnr'}, *pair, 'a', np.ones((3, 3), bool))
    mask = np.ones((40, 56), bool)
    expected = calculate_psnr(*pair, crop_border=0)
    assert measure({'type': 'calculate_masked_psnr', 'better': 'higher'}, *pair, 'a', mask) == pytest.approx(expected)
    assert measure({'type': 'calculate_psnr', 'crop_border': 0}, *pair, 'a', mask) == pytest.approx(expected)
