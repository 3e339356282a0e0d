"""Blur and down-sampling against other computations of the same convention."""

import numpy as np
import pytest
from scipy import ndimage

from basicsr_ssm.clips.blur_downsample import blur_downsample


def in_scipys_way(frame):
    """MATLAB's fspecial('gaussian', 12, 1.6), imfilter(…, 'replicate') and gt(2:4:end-2, 2:4:end-2), in two dimensions.

    imfilter takes element 6 (from 1) of 12 as the middle, scipy's correlate element 6 from 0: hence origin -1.
    """
    y, x = np.mgrid[-5.5:6, -5.5:6]
    kernel = np.exp(-(x**2 + y**2) / (2 * 1.6**2))
    kernel /= kernel.sum()
    blurred = [ndimage.correlate(frame[..., c] / 255, kernel, mode='nearest', origin=-1) for c in range(3)]
    return np.stack([plane[1:-2:4, 1:-2:4] for plane in blurred], axis=-1) * 255


@pytest.mark.parametrize('size', [(48, 64), (4, 4), (8, 100), (12, 8)])
def test_as_scipy_computes_it(size):
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected, ours = in_scipys_way(frame), blur_downsample(frame)
    assert ours.shape == (size[0] // 4, size[1] // 4, 3)
    assert np.abs(ours - expected).max() <= 0.5 + 1e-9  # rounded to the nearest, everywhere


def test_one_bright_pixel_lands_where_it_was():
    """LQ pixel (j, i) sees its own block's four middle pixels most, and all four alike."""
    frame = np.zeros((32, 32, 3), np.uint8)
    values = []
    for y, x in ((13, 17), (13, 18), (14, 17), (14, 18)):
        frame[...] = 0
        frame[y, x] = 255
        small = blur_downsample(frame)[..., 0]
        assert np.unravel_index(small.argmax(), small.shape) == (3, 4)
        values.append(small[3, 4])
    assert len(set(values)) == 1 and 10 < values[0] < 20  # 255 / (2π·1.6²) = 15.9, half a pixel off the middle


def test_flat_frames_stay_flat_and_odd_sizes_are_cut():
    for level in (0, 1, 77, 254, 255):
        assert (blur_downsample(np.full((23, 17, 3), level, np.uint8)) == level).all()
    frame = np.random.default_rng(1).integers(0, 256, (23, 18), dtype=np.uint8)
    assert np.array_equal(blur_downsample(frame), blur_downsample(frame[:20, :16]))


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match='scale 4, not for 2'):
        blur_downsample(np.zeros((8, 8, 3), np.uint8), 2)
    with pytest.raises(ValueError, match='float64'):
        blur_downsample(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match='8x3 is too small'):
        blur_downsample(np.zeros((3, 8, 3), np.uint8))
