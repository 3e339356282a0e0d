"""PSNR and SSIM inside a mask: of endoscopic frames, where the black around the field of view would count as perfect.

With a mask that is true everywhere both are what BasicSR's ``calculate_psnr`` and ``calculate_ssim`` give.
"""

from __future__ import annotations

import cv2
import numpy as np
from basicsr.metrics.metric_util import reorder_image, to_y_channel
from basicsr.utils.registry import METRIC_REGISTRY

from basicsr_ssm.errors import UserError

_WINDOW = 11  # of SSIM, pixels a side


@METRIC_REGISTRY.register()
def calculate_masked_psnr(img, img2, mask, crop_border=0, input_order='HWC', test_y_channel=False, **kwargs):
    """PSNR in dB over the pixels where `mask` is true.

    Args:
        img, img2: ndarray, [0, 255], (h, w, c), BGR; or (c, h, w) with input_order 'CHW'.
        mask: bool ndarray (h, w).
        crop_border: pixels at each edge that are left out, too.
        test_y_channel: on Y of YCbCr.

    Raises:
        AssertionError: the sizes differ, as BasicSR says it.
        UserError: the mask is empty.
    """
    img, img2, mask = _prepared(img, img2, mask, crop_border, input_order, test_y_channel)
    if not mask.any():
        raise UserError('the mask is empty: nothing can be measured inside of it')
    error = np.mean(((img - img2) ** 2)[mask])
    return float('inf') if error == 0 else 10 * np.log10(255**2 / error)


@METRIC_REGISTRY.register()
def calculate_masked_ssim(img, img2, mask, crop_border=0, input_order='HWC', test_y_channel=False, **kwargs):
    """SSIM over the windows of 11×11 pixels that lie inside the mask as a whole; arguments as for the PSNR.

    Raises:
        AssertionError: the sizes differ, as BasicSR says it.
        UserError: no window fits into the mask.
    """
    img, img2, mask = _prepared(img, img2, mask, crop_border, input_order, test_y_channel)
    edge = _WINDOW // 2
    whole = cv2.erode(mask.astype(np.uint8), np.ones((_WINDOW, _WINDOW), np.uint8))[edge:-edge, edge:-edge] > 0
    if not whole.any():
        raise UserError(f'no window of {_WINDOW}x{_WINDOW} pixels fits into the mask: SSIM cannot be measured there')
    return float(np.mean([_ssim_map(img[..., c], img2[..., c])[whole].mean() for c in range(img.shape[2])]))


def _prepared(img, img2, mask, crop_border, input_order, test_y_channel):
    """Both images as float64 (h, w, c), and the mask, cropped."""
    assert img.shape == img2.shape, f'Image shapes are different: {img.shape}, {img2.shape}.'
    img, img2 = (reorder_image(image, input_order=input_order) for image in (img, img2))
    assert mask.shape == img.shape[:2], f'Mask and image shapes are different: {mask.shape}, {img.shape[:2]}.'
    if crop_border:
        inner = slice(crop_border, -crop_border)
        img, img2, mask = img[inner, inner], img2[inner, inner], mask[inner, inner]
    if test_y_channel:
        img, img2 = to_y_channel(img), to_y_channel(img2)
    return img.astype(np.float64), img2.astype(np.float64), mask


def _ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SSIM of every whole window of (h, w), [0, 255]: Wang et al., 2004, Eq. 13."""
    edge = _WINDOW // 2

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (_WINDOW, _WINDOW), 1.5)[edge:-edge, edge:-edge]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)
