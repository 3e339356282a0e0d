import math

import numpy as np
import pytest
import torch

from basicsr_ssm.losses import FrequencyCharbonnierLoss


def elements(pred, target, norm, lambda_re, lambda_im, eps):
    """Eq. 13 and 14 as they are written: a DFT matrix for each direction, no FFT."""
    difference = (pred - target).numpy()
    h, w = difference.shape[-2:]
    rows, columns = (np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) for n in (h, w))
    spectrum = rows @ difference @ columns
    spectrum /= {'backward': 1, 'ortho': math.sqrt(h * w), 'forward': h * w}[norm]
    real, imag = (np.sqrt(part**2 + eps**2) for part in (spectrum.real, spectrum.imag))
    return lambda_re * real + lambda_im * imag


@pytest.mark.parametrize('norm', ['backward', 'ortho', 'forward'])
@pytest.mark.parametrize('reduction', ['mean', 'sum', 'none'])
def test_value(pair, norm, reduction):
    options = dict(lambda_re=0.3, lambda_im=0.05, eps=0.1, norm=norm)
    expected = elements(*pair, **options)
    expected = {'mean': expected.mean, 'sum': expected.sum, 'none': lambda: expected}[reduction]()
    got = FrequencyCharbonnierLoss(loss_weight=2, reduction=reduction, **options)(*pair)
    np.testing.assert_allclose(got.numpy(), 2 * expected, rtol=1e-10)


@pytest.mark.parametrize('size', [(1, 1), (1, 2), (2, 1), (5, 1), (4, 3), (3, 4)])
def test_small_frames(size):
    pair = torch.rand(2, 2, 3, *size, dtype=torch.float64)
    expected = elements(*pair, 'backward', 0.02, 0.02, 1e-3).mean()
    np.testing.assert_allclose(FrequencyCharbonnierLoss()(*pair).item(), expected, rtol=1e-10)


@pytest.mark.parametrize('reduction', ['mean', 'none'])
def test_gradient(pair, reduction):
    loss = FrequencyCharbonnierLoss(eps=0.01, reduction=reduction)
    assert torch.autograd.gradcheck(loss, tuple(frames[..., :1, :4, :5].requires_grad_() for frames in pair))


def test_defaults_are_the_papers():
    loss = FrequencyCharbonnierLoss()
    assert (loss.loss_weight, loss.lambda_re, loss.lambda_im, loss.eps) == (1, 0.02, 0.02, 1e-3)


def test_weight_grows_with_the_frame_unless_orthonormal():
    noise = {size: torch.randn(1, 4, size, size) for size in (16, 64)}
    for norm, ratio in (('backward', 4), ('ortho', 1), ('forward', 1 / 4)):
        loss = FrequencyCharbonnierLoss(norm=norm, eps=1e-8)
        small, large = (loss(frames, torch.zeros_like(frames)).item() for frames in noise.values())
        assert large / small == pytest.approx(ratio, rel=0.1)


@pytest.mark.parametrize(
    'options, message',
    [
        ({'norm': 'orto'}, "norm: unknown 'orto'; there are 'backward', 'ortho', 'forward'"),
        ({'reduction': 'max'}, "reduction: unknown 'max'; there are 'mean', 'sum', 'none'"),
        ({'eps': 0}, 'eps: expected a number above 0, got 0'),
    ],
)
def test_unknown_options(options, message):
    with pytest.raises(ValueError, match=message):
        FrequencyCharbonnierLoss(**options)
