import math

import numpy as np
import pytest
import torch

from basicsr_ssm.losses import WaveletHighFrequencyLoss


def expected(pred, target, levels, gamma):
    """PyWavelets' transform, and a weight for each band by the place of its centre among the frequencies."""
    pywt = pytest.importorskip('pywt')
    low, *details = pywt.wavedec2((pred - target).numpy(), 'haar', 'symmetric', levels)
    finest = math.hypot(3 / 4, 3 / 4) * math.pi
    total, count = 0, 0
    for level, bands in zip(range(levels, 0, -1), details, strict=True):
        half = math.pi / 2**level
        lower, upper = half / 2, 1.5 * half
        centres = [(lower, upper), (upper, lower), (upper, upper)]
        if level == levels:
            bands, centres = (*bands, low), [*centres, (lower, lower)]
        for band, centre in zip(bands, centres, strict=True):
            total += (math.hypot(*centre) / finest) ** gamma * np.abs(band).sum()
            count += band.size
    return total / count


@pytest.mark.filterwarnings('ignore:Level value')
@pytest.mark.parametrize('levels', [1, 2, 3])
@pytest.mark.parametrize('gamma', [0, 1.0, 2.5])
def test_value(pair, levels, gamma):
    got = WaveletHighFrequencyLoss(levels=levels, gamma=gamma)(*pair).item()
    np.testing.assert_allclose(got, expected(*pair, levels, gamma), rtol=1e-10)


def test_gradient(pair):
    frames = tuple(frames[..., :1, :5, :6].clone().requires_grad_() for frames in pair)
    assert torch.autograd.gradcheck(WaveletHighFrequencyLoss(levels=2), frames)


def test_high_frequencies_weigh_more():
    """Errors of the same size: checks of one pixel, of two, of four, and the same everywhere."""
    y, x = torch.meshgrid(torch.arange(16), torch.arange(16), indexing='ij')
    errors = [(-1.0) ** (y // size + x // size) for size in (1, 2, 4)] + [torch.ones(16, 16)]
    values = [WaveletHighFrequencyLoss()(error, torch.zeros(16, 16)).item() for error in errors]
    # orthonormal: an error in one band of level l has 4^-l of the coefficients, 2^l times as large
    assert values == pytest.approx([1 / 2, 1 / 2 / 4, 1 / 4 / 8, 1 / 3 / 4 / 8])


def test_bad_values():
    with pytest.raises(ValueError, match='levels: expected a whole number above 0, got 0'):
        WaveletHighFrequencyLoss(levels=0)
    with pytest.raises(ValueError, match='gamma: expected a number from 0 on, got -1'):
        WaveletHighFrequencyLoss(gamma=-1)
